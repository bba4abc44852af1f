//! Variables of a call in an agent's greeting and prompt: `{{name}}`.

use std::collections::BTreeMap;

use pipeline::call::AgentProfile;

/// The profile with the call's variables in its greeting and prompt.
#[must_use]
pub fn with_variables(
    mut profile: AgentProfile,
    variables: &BTreeMap<String, String>,
) -> AgentProfile {
    profile.system_prompt = fill(&profile.system_prompt, variables);
    profile.first_message = profile.first_message.map(|text| fill(&text, variables));
    profile
}

/// Replaces `{{name}}` (spaces around the name are allowed) by the variable's value; a variable
/// that is not there leaves nothing, so that no caller hears braces. Values are taken as they are:
/// what looks like a placeholder in a value stays as it is.
#[must_use]
pub fn fill(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        filled.push_str(before);
        match after.split_once("}}") {
            Some((name, remainder)) if is_name(name.trim()) => {
                let value = variables.get(name.trim());
                filled.push_str(value.map_or("", String::as_str));
                rest = remainder;
            }
            _ => {
                filled.push_str("{{");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// Names of the variables that a text asks for.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split("{{").skip(1).filter_map(|part| {
        let (name, _) = part.split_once("}}")?;
        is_name(name.trim()).then(|| name.trim())
    })
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    !text.is_empty() && text.len() <= 100 && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [("name", "Asha"), ("first name", "A"), ("sly", "{{name}}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_stay() {
        for (text, filled) in [
            ("Hello {{name}}, {{ name }}!", "Hello Asha, Asha!"),
            ("{{first name}}{{unknown}}.", "A."),
            ("{{sly}}", "{{name}}"),
            ("{\"a\": {\"b\": 1}} {{", "{\"a\": {\"b\": 1}} {{"),
            ("{{}} {{a{b}} }}", "{{}} {{a{b}} }}"),
            ("", ""),
        ] {
            assert_eq!(fill(text, &variables()), filled, "{text}");
        }
    }

    #[test]
    fn names_are_those_that_are_filled() {
        let found: Vec<&str> = names("{{name}} and {{ last_name }} {{}} {{").collect();
        assert_eq!(found, ["name", "last_name"]);
    }
}
