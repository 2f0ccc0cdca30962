//! What happens to the stream, at random.

use proptest::prelude::*;

use super::RETENTION_MS;

/// One thing that happens. Indices are taken modulo what there is, and one more: what is not there
/// is asked for too.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Advance(u64),
    Create(u32),
    Delete,
    Put {
        key: String,
        hash: Option<u128>,
    },
    PutMany(Vec<String>),
    Split {
        shard: usize,
        eighths: u128,
    },
    Merge {
        lower: usize,
        upper: usize,
    },
    Read {
        shard: usize,
        from: From,
        limit: usize,
    },
    List(Filter),
}

/// Where a reader begins. Records are named by their index.
#[derive(Debug, Clone)]
pub(super) enum From {
    TrimHorizon,
    Latest,
    At(usize),
    After(usize),
    /// So many milliseconds ago.
    Ago(u64),
}

#[derive(Debug, Clone)]
pub(super) enum Filter {
    None,
    AtLatest,
    AtTrimHorizon,
    FromTrimHorizon,
    After(usize),
    AtAgo(u64),
    FromAgo(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let from = prop_oneof![
        Just(From::TrimHorizon),
        Just(From::Latest),
        any::<usize>().prop_map(From::At),
        any::<usize>().prop_map(From::After),
        (0..20_000_u64).prop_map(From::Ago),
    ];
    let filter = prop_oneof![
        Just(Filter::None),
        Just(Filter::AtLatest),
        Just(Filter::AtTrimHorizon),
        Just(Filter::FromTrimHorizon),
        any::<usize>().prop_map(Filter::After),
        (0..20_000_u64).prop_map(Filter::AtAgo),
        (0..20_000_u64).prop_map(Filter::FromAgo),
    ];
    let key = || "[a-zA-Z]{1,8}";
    let put = (key(), prop::option::of(any::<u128>()));
    prop_oneof![
        6 => (0..5_000_u64).prop_map(Step::Advance),
        1 => (RETENTION_MS / 3..RETENTION_MS).prop_map(Step::Advance),
        1 => (1..4_u32).prop_map(Step::Create),
        10 => put.prop_map(|(key, hash)| Step::Put { key, hash }),
        5 => prop::collection::vec(key(), 1..8).prop_map(Step::PutMany),
        3 => (any::<usize>(), 0..9_u128)
            .prop_map(|(shard, eighths)| Step::Split { shard, eighths }),
        3 => (any::<usize>(), any::<usize>())
            .prop_map(|(lower, upper)| Step::Merge { lower, upper }),
        12 => (any::<usize>(), from, 1..4_usize)
            .prop_map(|(shard, from, limit)| Step::Read { shard, from, limit }),
        4 => filter.prop_map(Step::List),
    ]
}

/// A few steps may be a deletion; most runs keep their stream.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rarely = prop_oneof![60 => step(), 1 => Just(Step::Delete)];
    (1..4_u32, prop::collection::vec(rarely, 1..60)).prop_map(|(count, mut steps)| {
        steps.insert(0, Step::Create(count));
        steps
    })
}
