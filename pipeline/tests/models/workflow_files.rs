//! What is wrong with a workflow file is said by place and field.

use pipeline::workflow::Workflow;

use crate::scripted_call::{CLINIC, clinic};

fn refused(from: &str, to: &str) -> String {
    assert!(
        CLINIC.contains(from),
        "`{from}` is not in the file any more"
    );
    Workflow::from_toml(&CLINIC.replacen(from, to, 1))
        .map(|_| String::new())
        .expect_err("a broken file")
        .to_string()
}

#[test]
fn faults_name_their_node_and_field() {
    for (from, to, place, message) in [
        (
            "next = \"ask_intent\"",
            "next = \"ask_intend\"",
            "nodes.welcome, field `next`",
            "ask_intend",
        ),
        (
            "start = \"welcome\"",
            "start = \"hello\"",
            "`start`",
            "no node `hello`",
        ),
        (
            "{clinic_name}.\"]",
            "{clinic}.\"]",
            "nodes.welcome, field `say`",
            "nothing defines `clinic`",
        ),
        (
            "expect = [\"phone\"]",
            "expect = [\"fone\"]",
            "field `expect`",
            "no slot `fone`",
        ),
        (
            "expect = [\"phone\"]",
            "expect = 3",
            "field `expect`",
            "invalid type",
        ),
        (
            "expect = [\"phone\"]",
            "expects = []",
            "field `expects`",
            "unknown field",
        ),
        (
            "list = \"doctors\"",
            "list = \"nurses\"",
            "slots.doctor, field `list`",
            "nurses",
        ),
        (
            "\"doctor patel\"",
            "\"Dr. Patel\"",
            "lists.doctors[0], field `phrases`",
            "Dr. Patel",
        ),
        (
            "type = \"say\"",
            "type = \"sing\"",
            "nodes.welcome, field `type`",
            "sing",
        ),
        (
            "min = 10\nmax = 10",
            "min = 10\nmax = 30",
            "slots.phone, field `max`",
            "20",
        ),
        (
            "monday = [[\"09:00\"",
            "mondays = [[\"09:00\"",
            "hours, field `mondays`",
            "weekday",
        ),
        (
            "goto = \"offer\"",
            "goto = \"offers\"",
            "field `cases[0].goto`",
            "offers",
        ),
    ] {
        let error = refused(from, to);
        assert!(error.contains(place), "{to}: {error}");
        assert!(error.contains(message), "{to}: {error}");
    }
}

#[test]
fn a_node_nothing_leads_to_is_reported() {
    let error = Workflow::from_toml(&format!(
        "{CLINIC}\n[nodes.island]\ntype = \"goto\"\ngoto = \"welcome\"\n"
    ))
    .expect_err("an unreachable node");
    assert!(error.to_string().contains("nodes.island"), "{error}");
}

#[test]
fn the_same_file_reads_as_json() {
    let value: serde_json::Value = toml::from_str(CLINIC).expect("TOML");
    let workflow = Workflow::from_json(&value.to_string()).expect("the same workflow");
    assert_eq!(workflow.id(), "clinic");
    assert!(workflow.tools().contains("record_create"));
}

#[test]
fn every_question_has_a_grammar() {
    let workflow = clinic();
    let grammars = workflow.grammars();
    assert!(grammars.len() >= 12, "{}", grammars.len());
    for (node, grammar) in grammars {
        let depth = grammar
            .chars()
            .fold((0_i32, 0_i32), |(round, square), c| match c {
                '(' => (round + 1, square),
                ')' => (round - 1, square),
                '[' => (round, square + 1),
                ']' => (round, square - 1),
                _ => (round, square),
            });
        assert_eq!(depth, (0, 0), "{node}");
        let defined = |name: &str| grammar.contains(&format!("{name} = "));
        for part in grammar.split('<').skip(1) {
            let name = format!("<{}>", part.split('>').next().unwrap_or_default());
            assert!(defined(&name), "{node}: {name} is not defined");
        }
        // An alternative or option without words is not JSGF.
        let squeezed: String = grammar.split_whitespace().collect::<Vec<_>>().join(" ");
        for broken in ["( )", "[ ]", "| |", "( |", "| )", "= ;"] {
            assert!(!squeezed.contains(broken), "{node}: `{broken}`");
        }
    }
}
