-- Without the key in it, SQLite reads every key of the clinic to find those of one patient.
CREATE INDEX patient_key_of_patient ON patient_key (clinic_id, patient_id, key);
DROP INDEX patient_key_by_patient;

-- The same for what is said about a record.
CREATE INDEX patient_link_of_record ON patient_link (clinic_id, from_id, into_id, source);
DROP INDEX patient_link_by_record;
