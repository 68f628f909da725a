// The microphone: its samples, how they look, and how they become a file.

import { Refusal } from "./service.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Open the microphone; `heard` is told of each piece of samples. `voices` outputs play what is given to `node.port`. */
export async function openMicrophone(voices, signal, heard) {
  if (!navigator.mediaDevices) throw new Refusal("insecure");
  const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const stream = await navigator.mediaDevices.getUserMedia({ audio: plain }).catch((error) => {
    throw new Refusal(error.name === "NotAllowedError" ? "refusedMicrophone" : "noMicrophone");
  });
  if (signal.aborted) {
    stream.getTracks().forEach((track) => track.stop()); // it was allowed too late
    throw signal.reason;
  }
  const context = new AudioContext({ latencyHint: "interactive" });
  await context.resume();
  await context.audioWorklet.addModule("/page/worklet.js");
  const settings = { channelCount: 1, channelCountMode: "explicit", numberOfOutputs: voices };
  const node = new AudioWorkletNode(context, "microphone", { ...settings, outputChannelCount: Array(voices).fill(1) });
  const source = new MediaStreamAudioSourceNode(context, { mediaStream: stream });
  source.connect(node).connect(new GainNode(context, { gain: 0 })).connect(context.destination); // or it is not run
  node.port.onmessage = ({ data }) => heard(data);
  const close = () => {
    node.port.onmessage = null;
    stream.getTracks().forEach((track) => track.stop());
    context.close();
  };
  return { context, source, node, close };
}

/** Draw how loud a node of sound was lately, in a canvas, until the function that is returned is called. */
export function drawLevel(canvas, source, output = 0) {
  const analyser = new AnalyserNode(source.context, { fftSize: 1024 });
  source.connect(analyser, output);
  const samples = new Float32Array(analyser.fftSize);
  const levels = [];
  let frame = 0;
  const draw = () => {
    const context = canvas.getContext("2d");
    const width = (canvas.width = canvas.clientWidth);
    const { height } = canvas;
    analyser.getFloatTimeDomainData(samples);
    const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    levels.push(Math.sqrt(Math.min(1, peak))); // soft speech can be seen
    levels.splice(0, levels.length - Math.ceil(width / 4));
    context.fillStyle = getComputedStyle(canvas).color;
    if (still.matches) context.fillRect(0, 0, width * levels.at(-1), height);
    else {
      levels.forEach((level, index) => {
        const size = Math.max(2, level * height);
        context.fillRect(width - (levels.length - index) * 4, (height - size) / 2, 2, size);
      });
    }
    frame = requestAnimationFrame(draw);
  };
  draw();
  return () => {
    cancelAnimationFrame(frame);
    source.disconnect(analyser, output);
  };
}

/** Return pieces of `shorts` as a WAV file. */
export function wav(pieces, rate, name) {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, index) => header.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + 2 * length, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // bytes of what follows, up to `data`
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true); // bytes a second
  header.setUint16(32, 2, true); // bytes a frame
  header.setUint16(34, 16, true); // bits a sample
  text(36, "data");
  header.setUint32(40, 2 * length, true);
  return new File([header, ...pieces], name, { type: "audio/wav" });
}

/** Return samples from -1 to 1 in 16 bits; every machine with a browser puts the lower byte first. */
export const shorts = (samples) =>
  Int16Array.from(samples, (sample) => Math.round(32767 * Math.min(1, Math.max(-1, sample))));

/** Return a file that the service cannot read, such as a telephone's memo or a film, as WAV, or null. */
export async function decodedHere(file, rate = 48000) {
  try {
    const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
    const channels = Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel));
    const mean = channels[0].map((_, time) => channels.reduce((sum, channel) => sum + channel[time], 0) / channels.length);
    return wav([shorts(mean)], rate, file.name);
  } catch {
    return null;
  }
}
