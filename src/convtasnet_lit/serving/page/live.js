// Live: the microphone goes to the service by websocket, and the voices come back.

import { drawLevel, openMicrophone, shorts } from "./microphone.js";
import { Refusal } from "./service.js";
import { label, put } from "./language.js";

const BEHIND = 256 * 1024; // bytes that may wait to be sent; more can never be caught up
const SHOWN = 500; // milliseconds between two latencies
const REASONS = { 4429: "streams", 4503: "starting" }; // of the codes with which the service closes

const at = (id) => document.getElementById(id);

/** Stream until `signal` says to stop; reject with a refusal if the service ends it. */
export async function streamVoices(speakers, signal) {
  let socket = null;
  let shown = 0;
  let unsent = 0; // samples
  const microphone = await openMicrophone(speakers, signal, ({ samples, behind }) => {
    if (socket?.readyState === WebSocket.OPEN && socket.bufferedAmount < BEHIND) socket.send(shorts(samples));
    else unsent += samples.length;
    if (behind === null || performance.now() - shown < SHOWN) return;
    shown = performance.now();
    const { sampleRate, baseLatency, outputLatency } = microphone.context;
    const seconds = (behind - unsent) / sampleRate + baseLatency + (outputLatency || 0);
    const number = Math.round(1000 * seconds);
    put(at("latency"), "milliseconds", { number });
  });
  const ends = showVoices(speakers, microphone);
  try {
    const address = new URL(`/v1/stream?rate=${microphone.context.sampleRate}&format=s16`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      const voices = Float32Array.from(new Int16Array(data), (sample) => sample / 32768);
      microphone.node.port.postMessage(voices, [voices.buffer]);
    };
    await new Promise((resolve, reject) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", resolve);
      socket.onclose = ({ code, reason }) => {
        const key = reason ? `refused.${REASONS[code]}` : "offline";
        reject(new Refusal(key, { sentence: reason }));
      };
    });
  } finally {
    if (socket) socket.onclose = null;
    socket?.close();
    ends.forEach((end) => end());
    microphone.close();
    put(at("latency"), "milliseconds", { number: "–" });
  }
}

/** Make a row for the microphone and each voice; return what ends their pictures. */
function showVoices(speakers, { context, source, node }) {
  at("voices").replaceChildren();
  const ends = [];
  for (let number = 0; number <= speakers; number++) {
    const row = at("voice").content.firstElementChild.cloneNode(true);
    const name = number ? ["speaker", { number }] : ["microphone"];
    row.dataset.track = number;
    put(row.querySelector("h2"), ...name);
    at("voices").append(row);
    const canvas = row.querySelector("canvas");
    const button = row.querySelector("button");
    if (number) {
      ends.push(drawLevel(canvas, node, number - 1));
      const gain = new GainNode(context, { gain: 0 });
      node.connect(gain, number - 1).connect(context.destination);
      put(button, "listen");
      label(button, "listenOf", { name });
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", on);
        gain.gain.setTargetAtTime(on ? 1 : 0, context.currentTime, 0.01);
      });
    } else {
      ends.push(drawLevel(canvas, source));
      button.remove();
    }
  }
  return ends;
}
