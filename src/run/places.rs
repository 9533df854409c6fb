use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where images are: one place or several, each as
/// [`ImageSet::open_split`](crate::data::ImageSet::open_split) takes it. In files it is a
/// string or a list of strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(pub Vec<String>);

impl Places {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Places {
    fn from(place: &str) -> Self {
        Self(vec![place.into()])
    }
}

impl From<String> for Places {
    fn from(place: String) -> Self {
        Self(vec![place])
    }
}

impl From<Vec<String>> for Places {
    fn from(places: Vec<String>) -> Self {
        Self(places)
    }
}

impl Serialize for Places {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_none(),
            [place] => serializer.serialize_str(place),
            places => places.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "it must be a place or a list of places")]
        enum Form {
            One(String),
            Several(Vec<String>),
        }
        Ok(match Option::<Form>::deserialize(deserializer)? {
            None => Self::default(),
            Some(Form::One(place)) => place.into(),
            Some(Form::Several(places)) => places.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Places;
    use crate::run::DistillConfig;

    #[test]
    fn places_are_none_one_or_several_and_one_is_written_as_before() {
        let read =
            |text: &str| toml::from_str::<DistillConfig>(text).map(|config| config.data.path);
        assert_eq!(read("").unwrap(), Places::default());
        assert_eq!(read("data.path = 'a'").unwrap(), Places::from("a"));
        let several = read("data.path = ['a', 'b']").unwrap();
        assert_eq!(several.0, ["a", "b"]);
        assert!(read("data.path = 3").unwrap_err().to_string().contains("list of places"));

        let json = |places: &Places| serde_json::to_value(places).unwrap();
        assert_eq!(json(&Places::default()), serde_json::Value::Null);
        assert_eq!(json(&"a".into()), "a");
        for places in [Places::default(), "a".into(), several] {
            assert_eq!(serde_json::from_value::<Places>(json(&places)).unwrap(), places);
        }
    }
}
