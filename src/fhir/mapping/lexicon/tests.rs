//! `NamedInstruments` and questions as real forms write them.

use super::*;

fn asks(text: &str) -> Vec<String> {
    lexicon().question(&normal(text)).iter().map(ToString::to_string).collect()
}

#[test]
fn instruments_are_found_in_names() {
    const PHQ9: Instrument = Instrument::PHQ9;
    const TEENS: Instrument = Instrument::PHQ9_MODIFIED;
    for (name, ours) in [
        ("phq9", &[PHQ9][..]),
        ("questionnaire-sdc-profile-example-PHQ9", &[PHQ9]),
        ("mii-qst-pro-phq-9", &[PHQ9]),
        ("Patient Health Questionnaire 9 item", &[PHQ9]),
        ("patient-health-questionnaire-9", &[PHQ9]),
        ("PHQ-2/9", &[PHQ9]),
        ("PHQ 2", &[Instrument::PHQ2]),
        ("phq-9-modified", &[TEENS]),
        ("PHQ-A", &[TEENS]),
        ("phq9a", &[TEENS]),
        ("PHQ-9 Adult", &[PHQ9]),
        ("CIRG-GAD7", &[Instrument::GAD7]),
        ("phq9-gad7", &[PHQ9, Instrument::GAD7]),
        ("pcl-5", &[Instrument::PCL5]),
        ("PHQ-15", &[]),
        ("gadget-7", &[]),
        ("PHQ", &[]),
        ("phq901", &[]),
    ] {
        assert_eq!(lexicon().names(name).ours, ours, "{name}");
    }
    assert!(lexicon().names("phq-15").is_stranger && !lexicon().names("phq-9").is_stranger);
    let mds = lexicon().names("MDS D0200 PHQ-9");
    assert!(mds.is_stranger && mds.ours == [PHQ9]);
}

#[test]
fn a_question_is_known_by_whole_phrases_in_five_languages() {
    for (text, item) in [
        ("9. Thoughts that you would be better off dead, or of hurting yourself in some way?", "phq9/9"),
        ("Pensamientos de que estaría mejor muerto(a) o de lastimarse de alguna manera", "phq9/9"),
        ("Gedanken, dass Sie lieber tot wären oder sich Leid zufügen möchten", "phq9/9"),
        ("Penser qu’il vaudrait mieux mourir ou envisager de vous faire du mal", "phq9/9"),
        ("Pensar em se ferir de alguma maneira ou que seria melhor estar morto", "phq9/9"),
        ("Wenig Interesse oder Freude an Ihren Tätigkeiten", "phq9/1"),
        ("Se ha sentido decaído(a), deprimido(a) o sin esperanzas", "phq9/2"),
        ("Sentirse nervioso/a, ansioso/a o con los nervios de punta", "gad7/1"),
    ] {
        assert!(asks(text).contains(&item.to_owned()), "{text}: {:?}", asks(text));
    }
    for text in ["Heart rate", "Do you feel safe at home?", "Family history of suicide", "Comments", ""] {
        assert_eq!(asks(text), [""; 0], "{text}");
    }
}

#[test]
fn a_question_for_several_items_is_none_of_them_unless_it_asks_about_self_harm() {
    assert_eq!(asks("Little interest or pleasure, or feeling down, depressed or hopeless"), [""; 0]);
    let whole = asks("Little interest, poor appetite, or thoughts that you would be better off dead");
    assert!(whole.iter().all(|meaning| meaning.ends_with("/9")) && !whole.is_empty(), "{whole:?}");
}

#[test]
fn the_owner_of_a_shared_code_comes_first() {
    assert_eq!(lexicon().code("44250-9")[0], Meaning::Item(Instrument::PHQ9, 0));
    assert_eq!(lexicon().code("69722-7"), [Meaning::Difficulty]);
    assert_eq!(lexicon().code("445455005"), [Meaning::Total(Instrument::GAD7)]);
    assert_eq!(lexicon().code("8867-4"), []);
}
