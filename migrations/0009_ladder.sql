-- What an EHR that lets nothing be changed was told after the first: short follow-ups, counted from 1. Their parity says
-- which: odd is "no longer called for", even "called for again".
ALTER TABLE delivery ADD COLUMN follow_ups INTEGER NOT NULL DEFAULT 0;
