//! What belongs to [`Env`](crate::Env), the source of time, tasks and randomness: simulated nodes and
//! clocks that are moved by hand, for tests of whole fleets.

pub use shardwise_env::{Elapsed, Instant, ManualClock, Node, Simulation, Task, TaskError, lock};
