//! The task that makes vectors of texts, with a model that all threads share.

use std::sync::Arc;

use kernel::celery::result::Failure;
use serde_json::Value;

use crate::stages::Report;
use crate::stages::Stages;
use crate::stages::Standing;
use crate::task::Call;
use crate::task::Failed;
use crate::task::Task;

/// The most texts of one call.
pub const TEXTS_MAX: usize = 512;

/// So many are embedded before it is asked again whether the call is over.
const TEXTS_AT_ONCE: usize = 16;

/// Makes vectors of texts.
pub trait Embed: Send + Sync {
    /// A vector of each text, in their order.
    ///
    /// # Errors
    /// [`EmbedError`].
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
}

/// Why there are no vectors. The texts reach whoever asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// A text is none that it takes.
    #[error("{0}")]
    Text(String),
    /// It is not there yet.
    #[error("the model is not ready yet")]
    NotReady,
}

impl From<EmbedError> for Failed {
    fn from(error: EmbedError) -> Self {
        let message = error.to_string();
        match error {
            EmbedError::Text(_) => Self::arguments(message),
            EmbedError::NotReady => Self::ForNow(Failure::builtin("RuntimeError", &message)),
        }
    }
}

/// The task. It takes a text, and gives its vector, or a list of texts, and gives a list of theirs; by
/// place, or as `texts`. With `resource` by name it reports how far it is with that, and with `owner` whose it is.
pub struct EmbedTask {
    model: Arc<dyn Embed>,
    stages: Arc<dyn Stages>,
}

/// What is to be embedded.
enum Asked<'c> {
    One(&'c str),
    Many(Vec<&'c str>),
}

impl EmbedTask {
    /// With this model, which reports to `stages`.
    pub fn new(model: Arc<dyn Embed>, stages: Arc<dyn Stages>) -> Self {
        Self { model, stages }
    }

    fn vectors(&self, call: &Call, told: &Told<'_>) -> Result<Value, Failed> {
        match asked(call)? {
            Asked::One(text) => {
                told.say(Standing::Processing { done: 0, of: 1 });
                let vectors = self.model.embed(&[text])?;
                told.say(Standing::Completed { of: 1 });
                Ok(vectors.into_iter().next().map(written).unwrap_or_default())
            }
            Asked::Many(texts) => {
                let of = texts.len() as u64;
                let mut vectors = Vec::with_capacity(texts.len());
                for some in texts.chunks(TEXTS_AT_ONCE) {
                    call.check()?;
                    told.say(Standing::Processing { done: vectors.len() as u64, of });
                    vectors.extend(self.model.embed(some)?.into_iter().map(written));
                }
                call.check()?;
                told.say(Standing::Completed { of });
                Ok(Value::Array(vectors))
            }
        }
    }
}

impl Task for EmbedTask {
    fn run(&self, call: &Call) -> Result<Value, Failed> {
        let told = Told { stages: &*self.stages, call, resource: call.kwargs().get("resource") };
        let vectors = self.vectors(call, &told);
        // One that will be tried again, or that somebody else gets, has not failed.
        if matches!(vectors, Err(Failed::ForGood(_))) {
            told.say(Standing::Failed);
        }
        vectors
    }
}

/// Whom to tell of what, if anybody.
struct Told<'c> {
    stages: &'c dyn Stages,
    call: &'c Call,
    resource: Option<&'c Value>,
}

impl Told<'_> {
    fn say(&self, standing: Standing) {
        if let Some(resource @ (Value::String(_) | Value::Number(_))) = self.resource {
            let attempt = self.call.retries().saturating_add(1);
            let owner = self.call.kwargs().get("owner").and_then(Value::as_str).map(str::to_owned);
            self.stages.report(Report { resource: resource.clone(), owner, attempt, standing });
        }
    }
}

fn asked(call: &Call) -> Result<Asked<'_>, Failed> {
    let texts = match (call.args(), call.kwargs().get("texts")) {
        ([texts], None) | ([], Some(texts)) => texts,
        _ => return Err(Failed::arguments("expected a text or a list of texts, and that once")),
    };
    match texts {
        Value::String(text) => Ok(Asked::One(text)),
        Value::Array(list) if list.len() > TEXTS_MAX => {
            let message = format!("{} texts; at most {TEXTS_MAX} at one time", list.len());
            Err(Failed::arguments(message))
        }
        Value::Array(list) => {
            let texts: Option<Vec<_>> = list.iter().map(Value::as_str).collect();
            texts.map(Asked::Many).ok_or_else(|| Failed::arguments("not all of them are texts"))
        }
        _ => Err(Failed::arguments("expected a text or a list of texts")),
    }
}

/// A vector as JSON, each number with as many digits as tell it from its neighbours.
fn written(vector: Vec<f32>) -> Value {
    let shortest = |number: f32| number.to_string().parse::<f64>().unwrap_or(f64::from(number));
    vector.into_iter().map(shortest).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use parking_lot::Mutex;
    use serde_json::Map;
    use serde_json::json;

    use super::*;

    /// The length of a text, and 0.1.
    struct Lengths;

    impl Embed for Lengths {
        fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
            let vector = |text: &&str| match *text {
                "bad" => Err(EmbedError::Text("`bad` is no text".to_owned())),
                "early" => Err(EmbedError::NotReady),
                text => Ok(vec![text.len() as f32, 0.1]),
            };
            texts.iter().map(vector).collect()
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<Report>>);

    impl Stages for Heard {
        fn report(&self, report: Report) {
            self.0.lock().push(report);
        }
    }

    fn run(call: &Call) -> (Result<Value, Failed>, Vec<Standing>) {
        let heard = Arc::new(Heard::default());
        let stages: Arc<dyn Stages> = Arc::clone(&heard) as Arc<dyn Stages>;
        let answer = EmbedTask::new(Arc::new(Lengths), stages).run(call);
        let reports = heard.0.lock().iter().map(|report| report.standing).collect();
        (answer, reports)
    }

    fn call(texts: Value) -> Call {
        Call::new("c", vec![texts], Map::new())
    }

    #[test]
    fn a_text_has_a_vector_and_a_list_of_texts_a_list_of_them() {
        assert_eq!(run(&call(json!("abc"))).0, Ok(json!([3.0, 0.1])));
        assert_eq!(run(&call(json!(["a", ""]))).0, Ok(json!([[1.0, 0.1], [0.0, 0.1]])));
        assert_eq!(run(&call(json!([]))).0, Ok(json!([])));
        let mut by_name = Map::new();
        by_name.insert("texts".to_owned(), json!("ab"));
        assert_eq!(run(&Call::new("c", Vec::new(), by_name)).0, Ok(json!([2.0, 0.1])));
    }

    #[test]
    fn what_is_no_text_is_refused_in_words() {
        for (args, message) in [
            (vec![], "expected a text or a list of texts, and that once"),
            (vec![json!("a"), json!("b")], "expected a text or a list of texts, and that once"),
            (vec![json!(1)], "expected a text or a list of texts"),
            (vec![json!(["a", 1])], "not all of them are texts"),
            (vec![json!("bad")], "`bad` is no text"),
        ] {
            let call = Call::new("c", args, Map::new());
            assert_eq!(run(&call).0, Err(Failed::arguments(message)));
        }
        assert!(matches!(run(&call(json!("early"))).0, Err(Failed::ForNow(_))));
    }

    #[test]
    fn of_512_texts_there_are_vectors_and_one_more_is_refused() {
        let texts = |count: usize| json!(vec!["a"; count]);
        let Ok(Value::Array(vectors)) = run(&call(texts(TEXTS_MAX))).0 else {
            panic!("so many are taken")
        };
        assert_eq!(vectors.len(), TEXTS_MAX);
        let message = "513 texts; at most 512 at one time";
        assert_eq!(run(&call(texts(TEXTS_MAX + 1))).0, Err(Failed::arguments(message)));
    }

    #[test]
    fn it_stops_between_two_texts_once_its_time_is_over() {
        let late = call(json!(["a"])).within(Duration::ZERO);
        assert_eq!(run(&late).0, Err(Failed::Overdue));
    }

    #[test]
    fn it_says_how_far_it_is_with_a_resource_that_is_named() {
        let with = |texts: Value| {
            let mut named = Map::new();
            named.insert("resource".to_owned(), json!(7));
            run(&Call::new("c", vec![texts], named)).1
        };
        let many = with(json!(vec!["a"; TEXTS_AT_ONCE + 1]));
        let of = TEXTS_AT_ONCE as u64 + 1;
        let (begun, further) = (
            Standing::Processing { done: 0, of },
            Standing::Processing { done: TEXTS_AT_ONCE as u64, of },
        );
        assert_eq!(many, [begun, further, Standing::Completed { of }]);
        assert_eq!(with(json!("bad")).last(), Some(&Standing::Failed));
        let waits = Standing::Processing { done: 0, of: 1 };
        assert_eq!(with(json!("early")), [waits], "it is tried again");
        assert_eq!(run(&call(json!("a"))).1, []);
    }
}
