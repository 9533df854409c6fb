//! A student that learns in the page.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{Singer, from_value, no_teacher};
use crate::error::{Fault, Result};
use crate::lesson::{Lesson, LessonSettings};
use crate::numbers::plain;
use crate::picture::all_from_js;

#[wasm_bindgen]
impl Singer {
    /// Begins to teach a new student the teacher's features on these images. Takes the place of
    /// the student that is there once `showStudent` is called.
    #[wasm_bindgen(js_name = startLesson)]
    pub async fn start_lesson(
        &mut self,
        #[wasm_bindgen(unchecked_param_type = "Image[]")] images: Array,
        #[wasm_bindgen(unchecked_param_type = "LessonSettings")] settings: JsValue,
    ) -> Result<()> {
        self.faults.check()?;
        let settings: LessonSettings = from_value("settings", settings)?;
        let teacher = self.teacher.as_ref().ok_or_else(no_teacher)?;
        let images = all_from_js(&images)?;
        let lesson = Lesson::new(teacher, &self.adapters, &images, settings, &self.device).await?;
        self.lesson = Some(lesson);
        self.faults.check()
    }

    /// One step of the lesson.
    #[wasm_bindgen(js_name = lessonStep, unchecked_return_type = "LessonStep")]
    pub async fn lesson_step(&mut self) -> Result<JsValue> {
        self.faults.check()?;
        let done = self.lesson.as_mut().ok_or_else(no_lesson)?.step().await?;
        self.faults.check()?;
        plain(&done)
    }

    /// Makes the student of the next `maps` the one that learns, as it is now.
    #[wasm_bindgen(js_name = showStudent, unchecked_return_type = "ModelInfo")]
    pub async fn show_student(&mut self) -> Result<JsValue> {
        let student = self.lesson.as_ref().ok_or_else(no_lesson)?.student(&self.device)?;
        let info = plain(&student.info)?;
        if let Some(seen) = &mut self.seen {
            seen.look_anew(&student, &self.device).await?;
        }
        self.student = Some(student);
        self.view = None;
        self.faults.check()?;
        Ok(info)
    }

    /// The student that learns as a safetensors file, which `loadStudent` and the program read.
    #[wasm_bindgen(js_name = saveStudent)]
    pub async fn save_student(&self) -> Result<Uint8Array> {
        let bytes = self.lesson.as_ref().ok_or_else(no_lesson)?.to_bytes().await?;
        Ok(Uint8Array::from(bytes.as_slice()))
    }
}

fn no_lesson() -> Fault {
    Fault::new("no student learns here")
}
