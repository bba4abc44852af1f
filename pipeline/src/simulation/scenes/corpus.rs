//! What callers and agents of the scenes say. Every list is split in two halves by parity: one
//! for tuning, one held out.

use crate::stt::AnswerKind;

/// Turns of several clauses; `|` where callers like to stop and think.
pub(super) const TURNS: [&str; 36] = [
    "i would like to book a table | for four people | on friday evening",
    "i am calling because | my internet has been down | since this morning",
    "can you tell me | whether my order has been shipped | and when it will arrive",
    "i need to change my appointment | from tuesday | to thursday afternoon",
    "hello | i wanted to ask | about the price of the small room",
    "my name is thomas baker | and i have a question | about my last bill",
    "we are two adults and one child | and we would like a room | with a view of the garden",
    "i bought a coffee machine last week | and it does not | heat the water any more",
    "could you please send | a new copy of the contract | to my office",
    "the delivery came yesterday | but two of the boxes | were empty",
    "i think | it would be better | if we met next month",
    "so what i wanted to know is | do you also repair | older bicycles",
    "my daughter has a fever | and she has not eaten | since yesterday morning",
    "there is a problem with the heating | in the second bedroom | on the left",
    "i want to cancel my subscription | because i am moving | to another country",
    "please book me a taxi | from the station | to the grand hotel",
    "i would like to order | two large pizzas | one with mushrooms",
    "well | the thing is | i have already paid for it",
    "what i need is | someone who can look at the roof | before it rains again",
    "i was told | that i could pick it up | at the front desk",
    "do you have anything available | in the first week | of september",
    "the card was declined | when i tried to pay | at the supermarket",
    "i have been waiting | for more than an hour | and nobody came",
    "is it possible | to move the meeting | to a larger room",
    "i would like to speak | to somebody who knows | about mortgages",
    "we have tickets for saturday | but my husband is ill | so we cannot come",
    "could i bring my dog | or is that | not allowed",
    "i lost my wallet on the train | the one from berlin | around seven o'clock",
    "it says here | that the warranty ends in may | is that correct",
    "please tell the doctor | that the new medicine | makes me very tired",
    "i moved last month | and i would like | to register my new address",
    "can i pay by card | or do you only | accept cash",
    "the screen is black | and the phone | does not charge any more",
    "i would need the invoice | with the name | of my company",
    "my flight leaves at nine | so i should be there | around half past seven",
    "we would like to visit | the old town | with a group of twenty people",
];

/// Turns of one breath.
pub(super) const SHORT_TURNS: [&str; 24] = [
    "i would like to book a table",
    "what time do you open tomorrow",
    "can i speak to somebody please",
    "i need a taxi to the airport",
    "how much does it cost",
    "i have a question about my bill",
    "where is your office",
    "i would like to cancel my appointment",
    "do you deliver on sundays",
    "that would be great thank you",
    "my phone does not work any more",
    "next tuesday would be fine",
    "i am looking for a birthday present",
    "please call me back tomorrow",
    "is the doctor in today",
    "two tickets for the evening show please",
    "i forgot my password",
    "the parcel has not arrived yet",
    "could you repeat that please",
    "we are five people",
    "i prefer the morning",
    "it is about the garden fence",
    "the red one please",
    "nothing else thanks",
];

/// Answers of one word, with the question's kind.
pub(super) const ONE_WORD: [(&str, AnswerKind); 14] = [
    ("yes", AnswerKind::YesNo),
    ("no", AnswerKind::YesNo),
    ("yeah", AnswerKind::YesNo),
    ("nope", AnswerKind::YesNo),
    ("sure", AnswerKind::YesNo),
    ("correct", AnswerKind::YesNo),
    ("tomorrow", AnswerKind::Open),
    ("monday", AnswerKind::Open),
    ("pizza", AnswerKind::Open),
    ("seven", AnswerKind::Open),
    ("morning", AnswerKind::Open),
    ("berlin", AnswerKind::Open),
    ("nothing", AnswerKind::Open),
    ("please", AnswerKind::Open),
];

/// "Go on."
pub(super) const BACKCHANNELS: [&str; 12] = [
    "mhm", "yeah", "okay", "uh huh", "right", "yes", "sure", "i see", "hmm", "okay", "aha",
    "alright",
];

/// The caller wants the floor.
pub(super) const TAKEOVERS: [&str; 20] = [
    "what about the parking is that included",
    "i already know that can we talk about the price",
    "my address has changed by the way",
    "that is not what i asked",
    "can we do this another day",
    "is there something cheaper",
    "the number you have is wrong",
    "i only need it for one day",
    "let me ask you something else",
    "you said that already",
    "how long does this take",
    "i would rather have the morning",
    "do i have to pay for that",
    "somebody is at the door one second",
    "my husband wants to know if there is a garden",
    "i think we have a misunderstanding",
    "when does it begin",
    "tell me about the other one",
    "it was last week not this week",
    "could you speak a little slower",
];

/// The same, with a word that demands it.
pub(super) const STOPS: [&str; 10] = [
    "stop",
    "wait",
    "no no",
    "hold on",
    "wait a second",
    "no that is wrong",
    "stop please",
    "excuse me",
    "hold on a moment",
    "actually no",
];

/// Said to somebody else.
pub(super) const SIDE: [&str; 12] = [
    "put it on the table over there",
    "have you seen my keys",
    "just a minute honey",
    "dinner is almost ready",
    "turn that down please",
    "who left the window open",
    "the dog wants to go out",
    "i will be there in a second",
    "did you lock the car",
    "not now i am on the phone",
    "give that back to your sister",
    "can somebody get the door",
];

/// What agents say at length.
pub(super) const LONG_LINES: [&str; 8] = [
    "The standard room costs ninety euros a night and includes breakfast, wireless internet and the use of our swimming pool, which is open from seven in the morning until ten in the evening.",
    "Your order left our warehouse on Monday and should reach you by the end of the week. The driver will call you half an hour before he arrives, so please keep your telephone close to you.",
    "Before we begin I would like to explain how the appointment works. First the doctor will ask you some questions, then she will examine you, and after that you will receive a written report.",
    "There are three ways to get to our office. You can take the underground to the central station, you can come by bus, or you can park your car in the garage behind the building.",
    "The repair usually takes about five working days, because we have to order the parts from the manufacturer. As soon as the machine is ready we will send you a message with the exact price.",
    "Our restaurant is open every day except Monday. In the summer we also serve lunch in the garden, and on Sundays there is a large breakfast with fresh bread and homemade jam.",
    "I have found two connections for tomorrow morning. The first train leaves at a quarter past seven and arrives at noon, the second one leaves an hour later but needs no change.",
    "The contract runs for twelve months and ends by itself. During this time you can call all numbers in the country without extra cost, and you may keep the telephone afterwards.",
];

/// Openings that ask for anything.
pub(super) const OPENINGS: [&str; 6] = [
    "Good morning, how can I help you?",
    "Hello, what can I do for you today?",
    "Welcome to the service line. What is your call about?",
    "Good afternoon, how may I help?",
    "Hello and welcome. How can I help you?",
    "Thank you for calling. What can I do for you?",
];

/// Questions with their kind.
pub(super) const YES_NO_QUESTIONS: [&str; 6] = [
    "Shall I book that for you?",
    "Is that correct?",
    "Would you like a receipt?",
    "Do you have an account with us?",
    "Are you calling about an existing order?",
    "Would Tuesday be all right?",
];
/// Ask for digits.
pub(super) const DIGIT_QUESTIONS: [&str; 4] = [
    "What is your telephone number?",
    "Please tell me your customer number.",
    "Could you give me the card number?",
    "What is the reference number?",
];
/// Ask for something spelled.
pub(super) const SPELL_QUESTIONS: [&str; 4] = [
    "What is your e-mail address?",
    "Could you spell your last name for me?",
    "Please tell me your full address.",
    "How do you spell that?",
];
/// Short answers of an agent.
pub(super) const ANSWERS: [&str; 8] = [
    "All right, let me see what I can do. That should be no problem at all.",
    "Thank you, I have noted that. Is there anything else?",
    "Of course, I will take care of it right away.",
    "I understand. One moment, I am looking that up for you.",
    "Good, that works. You will receive a confirmation soon.",
    "Thanks. I have found your file, and everything is in order.",
    "Certainly, we can do that. It will take a few days.",
    "I am sorry to hear that. Let me find a solution for you.",
];

/// Spoken digits.
pub(super) const DIGITS: [&str; 10] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
];
/// Letters as a voice says them.
pub(super) const LETTERS: [&str; 26] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u", "v", "w", "x", "y", "z",
];
/// Second halves of e-mail addresses.
pub(super) const DOMAINS: [&str; 6] = [
    "gmail dot com",
    "outlook dot com",
    "yahoo dot com",
    "example dot org",
    "mail dot net",
    "web dot de",
];
/// First halves.
pub(super) const NAMES: [&str; 8] = [
    "john smith",
    "anna",
    "peter miller",
    "maria",
    "tom baker",
    "susan",
    "david",
    "laura hill",
];
/// Addresses in pieces.
pub(super) const STREETS: [&str; 8] = [
    "fourteen | park road | london",
    "two hundred and six | main street | springfield",
    "thirty one | station road | apartment five",
    "nine | church lane | oxford",
    "seventy two | river drive | second floor",
    "one hundred and ten | green street | boston",
    "five | mill lane | cambridge",
    "eighteen | victoria street | bristol",
];
