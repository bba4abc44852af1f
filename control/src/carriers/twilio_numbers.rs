//! Searching, buying and giving back numbers by Twilio's REST API (2010-04-01).

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::{Secret, TwilioSection};

const REQUEST_MAX: Duration = Duration::from_secs(15);

/// Why Twilio did not do it.
#[derive(Debug, thiserror::Error)]
pub enum TwilioNumbersError {
    /// There is no account to do it with.
    #[error("carriers.twilio.account_sid and auth_token are not set")]
    NotSetUp,
    /// Twilio refused.
    #[error("twilio refused: {0}")]
    Refused(String),
    /// No answer, or none that can be read.
    #[error("twilio does not answer: {0}")]
    Unreachable(String),
}

/// The numbers of a Twilio account.
#[derive(Debug)]
pub struct TwilioNumbers<'a> {
    base: String,
    account: &'a str,
    token: &'a Secret,
    client: reqwest::Client,
}

impl<'a> TwilioNumbers<'a> {
    /// With the configured account.
    ///
    /// # Errors
    /// [`TwilioNumbersError::NotSetUp`].
    pub fn new(settings: &'a TwilioSection) -> Result<Self, TwilioNumbersError> {
        let (Some(account), Some(token)) = (&settings.account_sid, &settings.auth_token) else {
            return Err(TwilioNumbersError::NotSetUp);
        };
        let base = settings.api_url.trim_end_matches('/');
        Ok(Self {
            base: format!("{base}/2010-04-01/Accounts/{account}"),
            account,
            token,
            client: reqwest::Client::new(),
        })
    }

    /// Local numbers that may be bought.
    ///
    /// # Errors
    /// [`TwilioNumbersError`].
    pub async fn search(
        &self,
        country: &str,
        area_code: Option<&str>,
    ) -> Result<Vec<Value>, TwilioNumbersError> {
        let mut url = format!(
            "{}/AvailablePhoneNumbers/{country}/Local.json?PageSize=20",
            self.base
        );
        if let Some(area_code) = area_code {
            url.push_str(&format!("&AreaCode={area_code}"));
        }
        let found = self.send(self.client.get(url)).await?;
        let numbers = found["available_phone_numbers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let entry = |number: &Value| {
            json!({
                "phone_number": number["phone_number"],
                "locality": number["locality"],
                "region": number["region"],
                "capabilities": number["capabilities"],
                "monthly_price": null,
            })
        };
        Ok(numbers.iter().map(entry).collect())
    }

    /// Buys a number whose calls are announced at `voice_url`; tells its id.
    ///
    /// # Errors
    /// [`TwilioNumbersError`].
    pub async fn buy(&self, number: &str, voice_url: &str) -> Result<String, TwilioNumbersError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("PhoneNumber", number)
            .append_pair("VoiceUrl", voice_url)
            .finish();
        let request = self
            .client
            .post(format!("{}/IncomingPhoneNumbers.json", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let bought = self.send(request.body(form)).await?;
        let sid = bought["sid"].as_str().map(str::to_owned);
        sid.ok_or_else(|| TwilioNumbersError::Unreachable("no sid in the answer".to_owned()))
    }

    /// Gives a number back.
    ///
    /// # Errors
    /// [`TwilioNumbersError`].
    pub async fn release(&self, sid: &str) -> Result<(), TwilioNumbersError> {
        let url = format!("{}/IncomingPhoneNumbers/{sid}.json", self.base);
        self.send(self.client.delete(url)).await.map(drop)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, TwilioNumbersError> {
        let unreachable = |error: reqwest::Error| {
            TwilioNumbersError::Unreachable(error.without_url().to_string())
        };
        let request = request.basic_auth(self.account, Some(self.token.reveal()));
        let reply = request
            .timeout(REQUEST_MAX)
            .send()
            .await
            .map_err(unreachable)?;
        let status = reply.status();
        if status == reqwest::StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body: Value = reply.json().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        let said = body["message"].as_str().unwrap_or("no reason given");
        let said: String = said.chars().take(200).collect();
        if status.is_server_error() {
            return Err(TwilioNumbersError::Unreachable(said));
        }
        Err(TwilioNumbersError::Refused(said))
    }
}
