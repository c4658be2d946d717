-- The ledger is read by state: what is parked, what waits. What is settled is nearly all of it, and is read by id.
CREATE INDEX delivery_unsettled ON delivery (clinic_id, state, id) WHERE state <> 'settled';

-- What should stand in the chart and does not.
CREATE INDEX delivery_below ON delivery (clinic_id, state, resource) WHERE posture = 'open' AND chart_id IS NULL;
