"""The settings of a stack: typed, validated once, and the only reader of Pulumi's config."""
