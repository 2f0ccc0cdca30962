//! prost as the oracle.
