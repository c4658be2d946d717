-- People are found without accents: everybody in care is planned again once, by the sweep, so that the names are folded so.
UPDATE patient SET reevaluate_on = '1970-01-01' WHERE has_care;

-- The open episodes of a doctor's own patients.
CREATE INDEX episode_by_doctor ON episode (clinic_id, primary_care_provider, id) WHERE discharged_on IS NULL;
