// How texts come into the document, in the language of the reader.

import { PEOPLE, TEXTS } from "./texts.js";

const remembered = (key, value) => {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null; // the browser keeps nothing
  }
};

let language = remembered("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

/** Return a text; what stands in braces is filled in. */
export function say(key, values = {}) {
  const text = TEXTS[language][key] ?? values.sentence ?? TEXTS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => spoken(name, values[name]));
}

function spoken(name, value) {
  if (name === "people") return PEOPLE[language][value] ?? String(value);
  return Array.isArray(value) ? say(...value) : String(value);
}

/** Write a text into an element, so that it follows the language. A value may be a text itself: [key, values]. */
export function put(element, key, values = {}) {
  element.dataset.text = key;
  element.dataset.values = JSON.stringify(values);
  element.textContent = say(key, values);
}

/** Name an element for those who do not see it. */
export function label(element, key, values = {}) {
  element.dataset.label = key;
  element.dataset.labelValues = JSON.stringify(values);
  element.setAttribute("aria-label", say(key, values));
}

/** Write all texts again. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = say(element.dataset.text, JSON.parse(element.dataset.values ?? "{}"));
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label, JSON.parse(element.dataset.labelValues ?? "{}")));
  }
}

/** Set up the button that changes the language, and write all texts. */
export function speak(button) {
  const write = () => {
    document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
    document.title = say("title");
    button.lang = language === "zh" ? "en" : "zh-Hans";
    translate();
  };
  put(button, "other");
  label(button, "otherLabel");
  button.addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    remembered("language", language);
    write();
  });
  write();
}

/** Return seconds as minutes and seconds. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-3));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
