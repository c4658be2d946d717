-- What is known about suicidal answers beyond the present one: an answer that cannot be read, questions beside the scored
-- ones, and the highest answer that an earlier version of the form gave.
ALTER TABLE measurement ADD COLUMN self_harm JSONB NOT NULL DEFAULT '{}';
