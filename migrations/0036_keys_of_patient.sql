-- Without the key in it, SQLite reads every key of the clinic to find those of one patient.
CREATE INDEX patient_key_of_patient ON patient_key (clinic_id, patient_id, key);
DROP INDEX patient_key_by_patient;

-- Who was merged into a patient.
CREATE INDEX patient_merged ON patient (clinic_id, merged_into) WHERE merged_into IS NOT NULL;
