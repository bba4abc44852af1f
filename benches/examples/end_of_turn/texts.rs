//! What callers say, put together from parts. Commas and full stops inside are pauses.

use crate::examples::Chance;

const OPENINGS: [&str; 14] = [
    "",
    "",
    "",
    "hello,",
    "yes,",
    "well,",
    "um,",
    "okay, so,",
    "hi there.",
    "good morning.",
    "right,",
    "uh,",
    "oh, and,",
    "actually,",
];
const REQUESTS: [&str; 16] = [
    "I would like to book an appointment",
    "I need to change my reservation",
    "can you tell me when you are open",
    "I'm calling about my last bill",
    "I want to speak to somebody in sales",
    "could you send me a new card",
    "my internet has stopped working",
    "I have a question about my order",
    "the parcel has not arrived",
    "we have had no water since this morning",
    "I was told that you would call me back",
    "do you have a table for four people",
    "how much does the large one cost",
    "please cancel the subscription",
    "the app keeps asking for my password",
    "I lost my key at the station",
];
const ADDITIONS: [&str; 14] = [
    "for next Tuesday",
    "with Doctor Patel",
    "but I don't have the number here",
    "because my daughter is ill",
    "and I would like to pay by card",
    "if that is possible",
    "before the end of the month",
    "at the branch in Park Street",
    "since we moved to the new house",
    "which I bought in March",
    "as soon as you can",
    "on the blue line",
    "for my mother",
    "after six in the evening",
];
const SHORT: [&str; 24] = [
    "yes",
    "no",
    "yes please",
    "no thanks",
    "that's right",
    "tomorrow morning",
    "at half past nine",
    "my name is Anna Miller",
    "the second one",
    "two adults and one child",
    "I don't know",
    "that would be great",
    "the fourteenth of May",
    "no, that's all",
    "thank you very much",
    "on Friday",
    "it's Peter",
    "correct",
    "not really",
    "the green one",
    "about twenty",
    "Doctor Lee",
    "in the afternoon",
    "goodbye",
];
const DIGITS: [&str; 10] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
];
const LIST: [&str; 10] = [
    "apples",
    "a bag of rice",
    "two bottles of milk",
    "bread",
    "some cheese",
    "coffee",
    "eggs",
    "a box of tea",
    "oranges",
    "butter",
];

fn pick<'a>(from: &[&'a str], chance: &mut Chance) -> &'a str {
    from[chance.below(from.len())]
}

/// A whole turn.
pub(crate) fn turn(chance: &mut Chance) -> String {
    let end = if chance.next() < 0.15 { "?" } else { "." };
    match chance.below(10) {
        0..=2 => format!("{}{end}", pick(&SHORT, chance)),
        3 => digits(chance),
        4 => list(chance),
        5..=6 => format!(
            "{} {}{end}",
            pick(&OPENINGS, chance),
            pick(&REQUESTS, chance)
        ),
        _ => format!(
            "{} {}, {}{end}",
            pick(&OPENINGS, chance),
            pick(&REQUESTS, chance),
            pick(&ADDITIONS, chance)
        ),
    }
    .trim()
    .to_owned()
}

fn digits(chance: &mut Chance) -> String {
    let mut text = String::new();
    for group in 0..2 + chance.below(3) {
        if group > 0 {
            text.push_str(", ");
        }
        for _ in 0..2 + chance.below(3) {
            text.push(' ');
            text.push_str(pick(&DIGITS, chance));
        }
    }
    text + "."
}

fn list(chance: &mut Chance) -> String {
    let mut text = "I would like".to_owned();
    for item in 0..2 + chance.below(3) {
        text.push_str(if item > 0 { ", " } else { " " });
        text.push_str(pick(&LIST, chance));
    }
    format!("{text}, and {}.", pick(&LIST, chance))
}

/// A turn that the speaker has not finished: it ends in a word after which something must come.
pub(crate) fn fragment(chance: &mut Chance) -> String {
    const HANGING: [&str; 12] = [
        "and", "but", "because", "for the", "so", "with", "um", "to", "at", "if", "on", "my",
    ];
    format!("{} {}", pick(&REQUESTS, chance), pick(&HANGING, chance))
}
