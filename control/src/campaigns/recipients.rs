//! The people a campaign is to reach.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use crate::clock::now_us;
use crate::identity::accounts::{optional_uuid, uuid};
use crate::store::{Connection, Row, StoreError, sql};

/// A recipient to add.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRecipient {
    /// E.164 with its plus sign.
    pub phone: String,
    /// IANA name of where they are, if known.
    pub zone: Option<String>,
    /// What the conversation gets to know.
    pub variables: BTreeMap<String, String>,
}

/// A recipient as stored.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Id.
    pub id: Uuid,
    /// Of which campaign.
    pub campaign: Uuid,
    /// E.164 with its plus sign.
    pub phone: String,
    /// What the conversation gets to know.
    pub variables: Value,
    /// `pending`, `dialing`, `unknown`, `retry`, `completed`, `no_answer`, `failed`, `cancelled`.
    pub state: String,
    /// Why it stands so.
    pub reason: Option<String>,
    /// For people.
    pub error_message: Option<String>,
    /// Attempts that counted.
    pub attempts: i64,
    /// The last call.
    pub call: Option<Uuid>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
}

fn recipient(row: &Row) -> Result<Recipient, StoreError> {
    Ok(Recipient {
        id: uuid(row, "id")?,
        campaign: uuid(row, "campaign_id")?,
        phone: row.get("phone")?,
        variables: row.json("variables")?,
        state: row.get("state")?,
        reason: row.get("reason")?,
        error_message: row.get("error_message")?,
        attempts: row.get("attempts")?,
        call: optional_uuid(row, "call_id")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// A telephone number as people and spreadsheets write it, as `+` and digits. `default_code` is the
/// calling code of national numbers.
///
/// # Errors
/// What is wrong, for the person who sent the list.
pub fn phone_of(text: &str, default_code: Option<&str>) -> Result<String, String> {
    let text = text.trim().trim_start_matches('\'').trim();
    if text.is_empty() {
        return Err("the number is missing".to_owned());
    }
    let mut digits = String::with_capacity(text.len());
    let mut plus = false;
    for (index, c) in text.chars().enumerate() {
        if let Some(digit) = digit_of(c) {
            digits.push(digit);
            continue;
        }
        match c {
            '+' | '\u{FF0B}' if digits.is_empty() && !plus => plus = true,
            ' ' | '-' | '(' | ')' | '.' | '/' | '\u{A0}' | '\u{2010}'..='\u{2015}' => {}
            // Marks of writing direction that copying brings along.
            '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {}
            'e' | 'E' if index > 0 => {
                return Err(format!(
                    "`{text}` was turned into a power of ten by a spreadsheet; format the column \
                     as text"
                ));
            }
            'x' | 'X' | '#' | ';' | ',' => {
                return Err(format!("`{text}` has an extension; these are not dialled"));
            }
            _ => return Err(format!("`{text}` is no telephone number")),
        }
    }
    if !plus && let Some(rest) = digits.strip_prefix("00") {
        digits = rest.to_owned();
    } else if !plus && let Some(code) = default_code {
        let national = digits.strip_prefix('0').unwrap_or(&digits);
        // What begins with the code and is too long for a national number has the code already.
        if !(digits.starts_with(code) && digits.len() > 10) {
            digits = format!("{code}{national}");
        }
    } else if !plus && digits.starts_with('0') {
        return Err(format!("`{text}` has no country code; write it as +…"));
    }
    if !(8..=15).contains(&digits.len()) || digits.starts_with('0') {
        return Err(format!("`{text}` is no number with country code (E.164)"));
    }
    Ok(format!("+{digits}"))
}

/// The ASCII digit of a digit in Latin, full-width, Arabic, Persian or Devanagari script.
fn digit_of(c: char) -> Option<char> {
    const ZEROS: [u32; 5] = [0x30, 0xFF10, 0x660, 0x6F0, 0x966];
    let code = u32::from(c);
    let value = ZEROS
        .iter()
        .find_map(|zero| code.checked_sub(*zero).filter(|value| *value < 10))?;
    char::from_digit(value, 10)
}

/// Adds recipients; of each its id and whether it was added, which it is not when its number is in
/// the campaign already.
///
/// # Errors
/// When the store fails.
pub async fn insert_many(
    conn: &mut Connection,
    campaign: Uuid,
    recipients: Vec<NewRecipient>,
) -> Result<Vec<(Uuid, bool)>, StoreError> {
    if recipients.is_empty() {
        return Ok(Vec::new());
    }
    let now = now_us();
    let mut query = sql(
        "INSERT INTO recipients (id, campaign_id, phone, variables, time_zone, state, not_before, \
           created_at, updated_at) VALUES ",
    )
    .bind(campaign)
    .bind(now);
    let mut ids = Vec::with_capacity(recipients.len());
    for (index, recipient) in recipients.into_iter().enumerate() {
        let id = Uuid::now_v7();
        ids.push(id);
        query.push(if index == 0 { "(" } else { ", (" });
        query.push_bind(id).push(", $1, ");
        query.push_bind(recipient.phone).push(", ");
        let variables = serde_json::to_string(&recipient.variables);
        query
            .push_bind(variables.unwrap_or_else(|_| "{}".to_owned()))
            .push(", ");
        query
            .push_bind(recipient.zone)
            .push(", 'pending', 0, $2, $2)");
    }
    query.push(" ON CONFLICT (campaign_id, phone) DO NOTHING");
    let inserted = query.execute(conn).await?;
    if inserted == ids.len() as u64 {
        return Ok(ids.into_iter().map(|id| (id, true)).collect());
    }
    let (Some(first), Some(last)) = (ids.first(), ids.last()) else {
        return Ok(Vec::new());
    };
    let rows = sql("SELECT id FROM recipients WHERE campaign_id = $1 AND id >= $2 AND id <= $3")
        .bind(campaign)
        .bind(*first)
        .bind(*last)
        .fetch_all(conn)
        .await?;
    let there: HashSet<Uuid> = rows
        .iter()
        .map(|row| uuid(row, "id"))
        .collect::<Result<_, _>>()?;
    Ok(ids
        .into_iter()
        .map(|id| (id, there.contains(&id)))
        .collect())
}

/// Changes number and variables of a recipient that was not dialled yet; false if there is none.
///
/// # Errors
/// When the number is another recipient's; when the store fails.
pub async fn update(
    conn: &mut Connection,
    campaign: Uuid,
    id: Uuid,
    new: &NewRecipient,
) -> Result<bool, StoreError> {
    let variables = serde_json::to_string(&new.variables).unwrap_or_else(|_| "{}".to_owned());
    let taken = sql("SELECT id FROM recipients WHERE campaign_id = $1 AND phone = $2 AND id <> $3")
        .bind(campaign)
        .bind(&new.phone)
        .bind(id)
        .fetch_optional(conn)
        .await?;
    if taken.is_some() {
        return Ok(false);
    }
    let changed = sql(
        "UPDATE recipients SET phone = $3, variables = $4, updated_at = $5 \
         WHERE id = $1 AND campaign_id = $2 AND state = 'pending'",
    )
    .bind(id)
    .bind(campaign)
    .bind(&new.phone)
    .bind(variables)
    .bind(now_us())
    .execute(conn)
    .await?;
    Ok(changed == 1)
}

/// Removes a recipient that was not dialled yet; false if there is none.
///
/// # Errors
/// When the store fails.
pub async fn remove(conn: &mut Connection, campaign: Uuid, id: Uuid) -> Result<bool, StoreError> {
    let removed =
        sql("DELETE FROM recipients WHERE id = $1 AND campaign_id = $2 AND state = 'pending'")
            .bind(id)
            .bind(campaign)
            .execute(conn)
            .await?;
    Ok(removed == 1)
}

/// Recipients of a campaign after `after`, in the order in which they were added.
///
/// # Errors
/// When the store fails.
pub async fn page(
    conn: &mut Connection,
    campaign: Uuid,
    states: &[&str],
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Recipient>, StoreError> {
    let mut query = sql("SELECT * FROM recipients WHERE campaign_id = ");
    query.push_bind(campaign);
    if !states.is_empty() {
        query.push(" AND state IN (");
        for (index, state) in states.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            query.push_bind(*state);
        }
        query.push(")");
    }
    if let Some(after) = after {
        query.push(" AND id > ").push_bind(after);
    }
    query.push(" ORDER BY id LIMIT ").push_bind(limit);
    query.fetch_all(conn).await?.iter().map(recipient).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, number) in [
            ("+91 98765-43210", "+919876543210"),
            ("'919876543210", "+919876543210"),
            ("00919876543210", "+919876543210"),
            ("\u{FF0B}\u{FF19}\u{FF11}9876543210", "+919876543210"),
            ("+٩١٩٨٧٦٥٤٣٢١٠", "+919876543210"),
            ("\u{202A}+1 (555) 010.0100\u{202C}", "+15550100100"),
        ] {
            assert_eq!(phone_of(text, None).as_deref(), Ok(number), "{text}");
        }
        assert_eq!(
            phone_of("098765 43210", Some("91")).unwrap(),
            "+919876543210"
        );
        assert_eq!(phone_of("9876543210", Some("91")).unwrap(), "+919876543210");
        assert_eq!(
            phone_of("919876543210", Some("91")).unwrap(),
            "+919876543210"
        );
    }

    #[test]
    fn what_cannot_be_dialled_says_why() {
        for (text, why) in [
            ("", "missing"),
            ("9.19877E+11", "spreadsheet"),
            ("+15550100100 x12", "extension"),
            ("front desk", "no telephone number"),
            ("098765", "country code"),
            ("+123", "E.164"),
            ("+1234567890123456", "E.164"),
            ("++15550100100", "no telephone number"),
        ] {
            let error = phone_of(text, None).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
