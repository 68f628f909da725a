// What the page asks of the service.

const OVER = ["done", "failed", "cancelled"];

/** A no in words: a text of texts.js, or a sentence of the service. */
export class Refusal extends Error {
  constructor(key, values = {}, { status = 0, retry = false } = {}) {
    super(key);
    Object.assign(this, { key, values, status, retry });
  }
}

function refused(status, body, retryAfter) {
  if (status === 401) return new Refusal("token");
  const answer = parsed(body);
  const sentence = answer.error ?? `HTTP ${status}`;
  const seconds = Number(retryAfter);
  if (status === 429 && seconds) return new Refusal("full", { time: minutes(seconds) }, { status, retry: true });
  return new Refusal(`refused.${answer.reason}`, { sentence }, { status, retry: status >= 500 });
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return {}; // of something between here and the service
  }
}

function minutes(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.ceil(seconds % 60)).padStart(2, "0")}`;
}

async function fetched(address, options) {
  const response = await fetch(address, options).catch((error) => {
    throw error.name === "AbortError" ? error : new Refusal("offline", {}, { retry: true });
  });
  if (!response.ok) throw refused(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

/** Return what the service says of its network. */
export const describe = async () => (await fetched("/v1/model")).json();

/** Return the recording to try. */
export async function example(name, signal) {
  const response = await fetched("/v1/example", { signal });
  return new File([await response.blob()], name);
}

/** Return the bytes of a result. */
export const result = async (address, signal) => (await fetched(address, { signal })).arrayBuffer();

/** Send a recording and return its job; `sent` is told which part has gone. */
export function send(file, signal, sent) {
  const form = new FormData();
  form.append("file", file, "recording"); // its name is nobody's business
  const request = new XMLHttpRequest(); // fetch does not tell how much of a body has gone
  request.open("POST", "/v1/separate");
  request.upload.onprogress = ({ loaded, total }) => sent(loaded / total);
  signal.addEventListener("abort", () => request.abort());
  return new Promise((resolve, reject) => {
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(refused(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(new Refusal("offline", {}, { retry: true }));
    request.onabort = () => reject(signal.reason);
    request.send(form);
  });
}

/** Follow a job until it is over, and return it then; `changed` is told of each step. It is cancelled by `signal`. */
export function follow(job, signal, changed) {
  if (OVER.includes(job.state)) return Promise.resolve(job);
  const events = new EventSource(`/v1/jobs/${job.id}/events`);
  const over = new Promise((resolve, reject) => {
    events.onmessage = ({ data }) => {
      const now = JSON.parse(data);
      if (OVER.includes(now.state)) resolve(now);
      else changed(now);
    };
    events.onerror = () => {
      if (events.readyState === EventSource.CLOSED) reject(new Refusal("gone", {}, { retry: true }));
    };
    signal.addEventListener("abort", () => {
      if (events.readyState === EventSource.CLOSED) return; // it was over
      forget(job);
      reject(signal.reason);
    });
  });
  changed(job);
  return over.finally(() => events.close());
}

/** Delete a job and what it made. */
export function forget(job) {
  fetch(`/v1/jobs/${job.id}`, { method: "DELETE", keepalive: true }).catch(() => {}); // it is forgotten by itself later
}
