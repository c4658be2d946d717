-- One row that is written to find out whether anything can be written. It is no clinic's.
CREATE TABLE write_probe (
  clinic_id TEXT NOT NULL PRIMARY KEY,
  body TEXT NOT NULL
);
