//! prost, plus the rules that the KCL adds to it, as the judge of our own encoder and decoder.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::{self, weighted};
use proptest::prelude::*;
use prost::Message as _;
use shardwise_types::HashKey;

use crate::message::{AggregatedRecord, Record, Tag};
use crate::{Aggregator, Decoded, UserRecord, decode, wire};

/// A user record as plain values: partition key, explicit hash key, data.
type User = (String, Option<u128>, Bytes);

/// What a message holds by prost and the KCL's rules; `None` if they refuse it.
fn by_the_book(message: &[u8]) -> Option<Vec<User>> {
    let message = AggregatedRecord::decode(message).ok()?;
    let users = message.records.into_iter().map(|record| {
        let key = usize::try_from(record.partition_key_index?).ok()?;
        let key = message.partition_key_table.get(key)?.clone();
        let hash_key = match record.explicit_hash_key_index {
            None => None,
            Some(index) => {
                let text = message
                    .explicit_hash_key_table
                    .get(usize::try_from(index).ok()?)?;
                Some(text.parse().ok()?)
            }
        };
        let tags_are_whole = record.tags.iter().all(|tag| tag.key.is_some());
        tags_are_whole.then_some((key, hash_key, record.data?))
    });
    // Our own rule: an aggregate of nothing is not sound.
    users
        .collect::<Option<Vec<_>>>()
        .filter(|users| !users.is_empty())
}

/// What a message holds by our decoder; `None` if it is corrupt.
fn by_ours(message: &[u8]) -> Option<Vec<User>> {
    let sealed = Bytes::from([&wire::MAGIC, message, &wire::digest(message)].concat());
    match decode(sealed.clone()) {
        Decoded::Aggregated(aggregate) => {
            let users = aggregate.iter().map(|member| {
                let hash_key = member.explicit_hash_key.map(HashKey::get);
                (member.partition_key.to_string(), hash_key, member.data)
            });
            Some(users.collect())
        }
        Decoded::Corrupt { data, .. } => {
            assert_eq!(data, sealed, "the raw record is kept");
            None
        }
        // An envelope around nothing is too short to be one.
        Decoded::Plain { data, why } => {
            assert_eq!(data, sealed, "the raw record is kept");
            assert!(message.is_empty(), "{why:?}");
            None
        }
    }
}

/// The message that prost's owner would build from these users: tables without repeats, in order of
/// first use.
fn message_of(users: &[User]) -> AggregatedRecord {
    fn index_in(table: &mut Vec<String>, text: String) -> u64 {
        let index = table.iter().position(|known| *known == text);
        index.unwrap_or_else(|| {
            table.push(text);
            table.len() - 1
        }) as u64
    }

    let mut message = AggregatedRecord::default();
    for (key, hash_key, data) in users {
        let key = index_in(&mut message.partition_key_table, key.clone());
        let hash_key =
            hash_key.map(|it| index_in(&mut message.explicit_hash_key_table, it.to_string()));
        message.records.push(Record {
            partition_key_index: Some(key),
            explicit_hash_key_index: hash_key,
            data: Some(data.clone()),
            tags: Vec::new(),
        });
    }
    message
}

fn user_record((key, hash_key, data): &User) -> UserRecord {
    let key = key.parse().unwrap();
    match hash_key {
        None => UserRecord::new(key, data.clone()),
        Some(point) => UserRecord::with_explicit_hash_key(key, HashKey::new(*point), data.clone()),
    }
}

/// Users with keys of one to four bytes a character, few or many of them alike.
fn users(count: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<User>> {
    let key = prop_oneof!["[ab]", "\\PC{1,12}"];
    let hash_key = weighted(0.3, prop_oneof![0..3_u128, any::<u128>()]);
    let data = prop_oneof![9 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 100..20_000)];
    vec((key, hash_key, data.prop_map(Bytes::from)), count)
}

/// One protobuf field with a value of any kind, its number in the given range, well-formed or not.
fn any_field(numbers: std::ops::Range<u64>) -> BoxedStrategy<Vec<u8>> {
    let flat = prop_oneof![
        (numbers.clone(), any::<u64>(), 0..64_u32).prop_map(|(number, value, shift)| [
            varint(number << 3),
            varint(value >> shift)
        ]
        .concat()),
        (numbers.clone(), any::<[u8; 8]>()).prop_map(|(number, value)| [
            varint(number << 3 | 1),
            value.to_vec()
        ]
        .concat()),
        (numbers.clone(), vec(any::<u8>(), 0..10))
            .prop_map(|(number, value)| delimited(number, &value)),
        (numbers.clone(), any::<[u8; 4]>()).prop_map(|(number, value)| [
            varint(number << 3 | 5),
            value.to_vec()
        ]
        .concat()),
        // A lone end of a group, a wire type that does not exist.
        (numbers.clone(), prop_oneof![Just(4), Just(6)])
            .prop_map(|(number, wire_type)| varint(number << 3 | wire_type)),
    ];
    let group = move |inner: BoxedStrategy<Vec<u8>>| {
        (numbers.clone(), vec(inner, 0..3), weighted(0.9, Just(()))).prop_map(
            |(number, inner, closes)| {
                let end = if closes.is_some() { number } else { number + 1 };
                [
                    varint(number << 3 | 3),
                    inner.concat(),
                    varint(end << 3 | 4),
                ]
                .concat()
            },
        )
    };
    flat.prop_recursive(3, 8, 3, group).boxed()
}

/// One field of the message `Record`, mostly sound.
fn record_field() -> impl Strategy<Value = Vec<u8>> {
    let tag = (option::of("[a-z]"), option::of("[a-z]"));
    prop_oneof![
        16 => (0..4_u64).prop_map(|index| [varint(1 << 3), varint(index)].concat()),
        4 => (0..3_u64).prop_map(|index| [varint(2 << 3), varint(index)].concat()),
        16 => vec(any::<u8>(), 0..20).prop_map(|data| delimited(3, &data)),
        1 => tag.prop_map(|(key, value)| delimited(4, &Tag { key, value }.encode_to_vec())),
        1 => any_field(5..40),
        1 => any_field(1..6),
    ]
}

/// A message whose fields come in any order, twice, or not at all.
fn wild_message() -> impl Strategy<Value = Vec<u8>> {
    let record = (vec(record_field(), 0..4), weighted(0.9, 0..4_u64)).prop_map(|(fields, key)| {
        // Most records get what they need, or hardly a message would be sound.
        let needed = key.map(|key| [varint(1 << 3), varint(key), delimited(3, b"data")].concat());
        delimited(3, &[needed.unwrap_or_default(), fields.concat()].concat())
    });
    let number = prop_oneof![
        6 => any::<u128>().prop_map(|it| it.to_string()),
        2 => "[+]?0{0,50}[0-9]{1,2}",
        1 => "[-+ 0-9a٣]{0,4}",
        1 => Just("340282366920938463463374607431768211456".to_owned()),
    ];
    let field = prop_oneof![
        16 => "\\PC{0,4}".prop_map(|key| delimited(1, key.as_bytes())),
        12 => number.prop_map(|text| delimited(2, text.as_bytes())),
        24 => record,
        1 => any_field(4..40),
        1 => any_field(0..5),
        1 => (1..3_u64, vec(any::<u8>(), 0..4)).prop_map(|(number, it)| delimited(number, &it)),
    ];
    // Indices go up to 3: with this table most of them are good.
    let table = [delimited(1, b"a"), delimited(1, b"b")].concat().repeat(2);
    let table = weighted(0.8, Just(table)).prop_map(Option::unwrap_or_default);
    (table, vec(field, 0..8)).prop_map(|(table, fields)| [table, fields.concat()].concat())
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_varint(&mut out, usize::try_from(value).unwrap());
    out
}

fn delimited(number: u64, value: &[u8]) -> Vec<u8> {
    [
        varint(number << 3 | 2),
        varint(value.len() as u64),
        value.to_vec(),
    ]
    .concat()
}

proptest! {
    #[test]
    fn prost_writes_the_same_bytes(users in users(2..20)) {
        let mut aggregator = Aggregator::new(usize::MAX);
        for user in &users {
            aggregator.try_push(user_record(user)).unwrap();
        }
        let data = aggregator.finish().unwrap().data;
        let message = &data[wire::MAGIC.len()..data.len() - wire::DIGEST_LEN];
        prop_assert_eq!(message, message_of(&users).encode_to_vec());
        prop_assert_eq!(by_the_book(message), Some(users));
    }

    #[test]
    fn what_prost_writes_is_read(users in users(1..20)) {
        let message = message_of(&users).encode_to_vec();
        prop_assert_eq!(by_ours(&message), Some(users));
    }

    #[test]
    fn wild_messages_get_the_same_verdict(message in wild_message()) {
        prop_assert_eq!(by_ours(&message), by_the_book(&message));
    }

    #[test]
    fn damaged_messages_get_the_same_verdict(
        users in users(1..5),
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4),
    ) {
        let mut message = message_of(&users).encode_to_vec();
        for (at, byte, kind) in damage {
            let at = at.index(message.len());
            match kind {
                0 => message[at] = byte,
                1 => message[at] ^= 1 << (byte % 8),
                2 => message.insert(at, byte),
                _ => message.truncate(at + 1),
            }
        }
        prop_assert_eq!(by_ours(&message), by_the_book(&message));
    }

    #[test]
    fn arbitrary_messages_get_the_same_verdict(message in vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(by_ours(&message), by_the_book(&message));
    }
}

#[test]
fn wild_messages_are_sound_often_enough_to_prove_something() {
    use proptest::strategy::ValueTree as _;

    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let sound = (0..1000)
        .filter(|_| {
            let message = wild_message().new_tree(&mut runner).unwrap().current();
            by_the_book(&message).is_some()
        })
        .count();
    assert!((100..900).contains(&sound), "{sound} of 1000 are sound");
}

#[test]
fn groups_nest_as_deep_as_prost_lets_them() {
    let sound = message_of(&[("key".into(), None, Bytes::new())]).encode_to_vec();
    let record = [varint(1 << 3), varint(0), delimited(3, b"")].concat();
    for depth in 95..105 {
        let open = [varint(9 << 3 | 3), varint(9 << 3 | 4)];
        for innermost in [vec![], vec![0x40, 0]] {
            let groups = [open[0].repeat(depth), innermost, open[1].repeat(depth)].concat();
            let outside = [sound.clone(), groups.clone()].concat();
            assert_eq!(by_ours(&outside), by_the_book(&outside), "depth {depth}");
            let inside = [
                sound.clone(),
                delimited(3, &[record.clone(), groups].concat()),
            ]
            .concat();
            assert_eq!(by_ours(&inside), by_the_book(&inside), "depth {depth}");
        }
    }
}
