-- What was delivered to a webhook is forgotten after a while: upkeep looks for it each minute, clinic by clinic.
CREATE INDEX webhook_delivery_delivered ON webhook_delivery (clinic_id, updated_at, id) WHERE state = 'delivered';
