//! Board descriptions: TOML, validated.
