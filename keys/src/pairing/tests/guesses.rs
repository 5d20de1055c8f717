//! Guessing a code: three tries an offer, whatever is tried and however often.

use super::*;

#[test]
fn of_a_thousand_guesses_three_count_and_none_pairs() {
    let mut meeting = Meeting::new(77);
    let mut rng = ChaCha20Rng::seed_from_u64(77);
    let mut counted = 0;
    for number in 0..1_000 {
        let random = PairingCode::generate(&mut rng).to_string();
        // From the fourth on every other guess is right, and too late.
        let guess = if number > 2 && number % 2 == 0 { CODE.to_owned() } else { random };
        assert!(number > 2 || guess != CODE);
        let outcome = meeting.run(by_code(&guess));
        check_unpaired(&outcome);
        match failure(&outcome.offer) {
            Some((PairingFailure::WrongCode, burned)) => {
                counted += 1;
                assert_eq!(burned, counted == 3);
            }
            other => assert_eq!(other, Some((PairingFailure::Burned, true)), "guess {number}"),
        }
    }
    assert_eq!(counted, 3);
    assert!(meeting.offer.is_over());
}
