-- The ledger is read by state: what is parked, what waits.
CREATE INDEX delivery_by_state ON delivery (clinic_id, state, id);
