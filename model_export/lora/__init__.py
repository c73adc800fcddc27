"""LoRAs: small files of changes to a model, merged into its weights at export."""
