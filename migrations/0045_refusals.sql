-- What the EHR said when it refused a better way to look for a type, while a poorer one is in use. NULL: nothing is refused.
ALTER TABLE connection_watermark ADD COLUMN refusal TEXT;
