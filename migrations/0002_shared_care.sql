-- Candidates for enrolment, and the language a scale was taken in.

-- The language of the form (BCP 47), where it says so.
ALTER TABLE measurement ADD COLUMN language TEXT;

-- Set while the person screened positive and is in no open episode: written with the fact that changed it, so that the
-- list of candidates is a keyset read of this index.
ALTER TABLE patient ADD COLUMN candidate_since DATE;
ALTER TABLE patient ADD COLUMN candidate_dismissed BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE patient ADD COLUMN candidate JSONB;
CREATE INDEX patient_by_candidacy ON patient (clinic_id, candidate_dismissed, candidate_since, id) WHERE candidate_since IS NOT NULL;

-- Who is a candidate already, and what standings say beside what they said before, follows from stories that are there:
-- the daily sweep looks at everybody once.
UPDATE patient SET reevaluate_on = '1970-01-01' WHERE merged_into IS NULL;
