//! A risk out of what is known of a person: from a table or from stored records; written back as a record only when a
//! clinician confirmed it.

mod labelled;

pub(crate) use labelled::LabelledPeople;
