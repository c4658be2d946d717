//! What the files say. Each instrument's own numbers stand in its golden table.

use super::*;

#[test]
fn every_file_is_read_and_the_five_that_code_names_are_there() {
    for instrument in
        [Instrument::PHQ9, Instrument::GAD7, Instrument::PHQ2, Instrument::PHQ9_MODIFIED, Instrument::PCL5]
    {
        assert!(Instrument::all().contains(&instrument), "{}", instrument.id());
        assert_eq!(instrument.id().parse(), Ok(instrument));
    }
    assert!("PHQ9".parse::<Instrument>().unwrap_err().contains("phq9"), "what is known is named");
    assert!(Instrument::PHQ9 < Instrument::GAD7, "the order of lists");
}

#[test]
fn an_item_that_asks_the_same_has_the_same_code_and_words() {
    let (adult, teen) = (Instrument::PHQ9.definition(), Instrument::PHQ9_MODIFIED.definition());
    assert_eq!((&teen.items[0].code, &teen.items[3].code), (&adult.items[1].code, &adult.items[4].code));
    assert_eq!(teen.items[3].label, "Appetite, weight loss");
    assert!(teen.items[8].phrases.contains(&"better off dead".to_owned()));
}

#[test]
fn phrases_are_long_enough_to_mean_something() {
    for instrument in Instrument::all() {
        let definition = instrument.definition();
        let supplements = definition.safety_questions.iter().flat_map(|one| &one.phrases);
        for phrase in definition.items.iter().flat_map(|item| &item.phrases).chain(supplements) {
            assert!(phrase.len() >= 8, "{instrument}: {phrase}");
        }
    }
}
