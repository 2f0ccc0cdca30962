//! How much retrying all calls of a handle may do together.
//!
//! Without a budget, every caller's retries multiply the load of a service that is already in
//! trouble. The bucket is that of AWS's own SDKs: a retry costs tokens, a success gives one back.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>

use std::sync::atomic::{AtomicU32, Ordering};

/// Tokens in a full bucket, as in AWS's SDKs: a hundred retries in a row without one success.
const CAPACITY: u32 = 500;

/// What one retry costs.
const RETRY_COST: u32 = 5;

/// What a call that succeeds gives back.
const SUCCESS_REFUND: u32 = 1;

/// A bucket of tokens.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicU32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicU32::new(CAPACITY))
    }
}

impl RetryBudget {
    /// Takes the tokens of one retry; `false` if there are too few.
    pub(crate) fn try_take(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(RETRY_COST)
            })
            .is_ok()
    }

    /// Gives back what a retry took that led to success, or a little for any success.
    pub(crate) fn succeeded(&self, retried: bool) {
        let refund = if retried { RETRY_COST } else { SUCCESS_REFUND };
        let _always_some = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some((left + refund).min(CAPACITY))
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_budget_stops_retries_and_success_fills_it_again() {
        let budget = RetryBudget::default();
        let retries = (0..1_000).filter(|_| budget.try_take()).count();
        assert_eq!(retries, 100);
        (0..4).for_each(|_| budget.succeeded(false));
        assert!(!budget.try_take());
        budget.succeeded(true);
        assert!(budget.try_take());
        (0..2_000).for_each(|_| budget.succeeded(false));
        assert_eq!(budget.0.load(Ordering::Relaxed), CAPACITY);
    }
}
