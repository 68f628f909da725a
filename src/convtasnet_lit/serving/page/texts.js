// Every word of the page, in English and in Chinese, and how it comes into the document.

export const TEXTS = {
  en: {
    other: "中文",
    otherLabel: "显示中文",
    title: "Hear each person",
    lead: "When people talk at once, one microphone records them all together. Bring such a recording, and listen to each of them alone.",
    drop: "Drop a recording here",
    choose: "Choose a file",
    record: "Record",
    example: "Try an example",
    exampleName: "example",
    limits: "WAV, FLAC, OGG or MP3, up to {minutes} minutes and {megabytes} MB",
    expect: "What to expect",
    able: "The network here, {name}, was made for recordings of {people}. It hears up to {kilohertz} kHz.",
    ableNarrow: "The network here, {name}, was made for recordings of {people}. It hears up to {kilohertz} kHz, so its voices sound like a telephone’s.",
    unable: "Something of the others often remains. It works best where voices differ much, as those of a woman and a man, and was not made for noise or music.",
    openCard: "How well it was measured to work",
    liveTitle: "Live from the microphone",
    liveAble: "You can also speak into the microphone and hear the voices apart while you speak.",
    liveUnable: "This network needs a recording as a whole before it can begin, so it cannot follow a microphone live. You can record first.",
    goLive: "Go live",
    privateTitle: "Where your recording goes",
    keptHere: "It stays on this computer and is deleted {minutes} minutes after it was separated, or at once when you begin anew.",
    keptThere: "It is sent to {host} and to nobody else. It is deleted there {minutes} minutes after it was separated, or at once when you begin anew.",
    recording: "Recording",
    recordingName: "recording",
    stopRecording: "Stop and separate",
    discard: "Discard",
    working: "Separating the voices",
    sending: "Sending the recording",
    reading: "Reading the recording",
    waiting: "Waiting for its turn; {ahead} of recordings are before it",
    running: "{percent} % done",
    estimate: "ready in about {time}",
    opening: "Opening the results",
    cancel: "Cancel",
    cancelled: "Cancelled.",
    ready: "Ready: {number} voices.",
    zip: "Download all",
    another: "Another recording",
    play: "Play",
    pause: "Pause",
    position: "Position",
    positionValue: "{time} of {duration}",
    transport: "Playback of all tracks",
    turns: "Who speaks when",
    turnsOf: "{name} speaks {turns} times, {time} in all",
    turnsList: "As a list",
    turn: "{start} to {end}: {name}",
    mixture: "Original",
    speaker: "Voice {number}",
    solo: "Solo",
    soloOf: "Solo {name}",
    mute: "Mute",
    muteOf: "Mute {name}",
    download: "Download",
    downloadOf: "Download {name}",
    waveformOf: "Waveform of {name}",
    spectrogramOf: "Spectrogram of {name}: low tones at the bottom, high ones at the top",
    hint: "Solo plays one track alone, and the others go on in step, so you can change over while it plays. Click into a picture to go there.",
    liveHeading: "Live",
    latency: "You hear the voices later than they speak, by",
    milliseconds: "{number} ms",
    microphone: "Microphone",
    listen: "Listen",
    listenOf: "Listen to {name}",
    stopLive: "Stop",
    headphones: "Put on headphones before you listen, or the microphone hears the voices again.",
    listening: "The microphone is on.",
    stopped: "The microphone is off.",
    close: "Close",
    again: "Try again",
    full: "Others are being served, and the queue is full. Try again in about {time}.",
    offline: "The service cannot be reached. Is it still running?",
    gone: "The service has lost this recording. Send it again.",
    token: "This service asks for a token, which this page cannot show. Ask whoever runs it.",
    large: "This file is larger than {megabytes} MB, which is the most that is taken.",
    nothing: "Nothing was recorded.",
    unplayable: "Your browser cannot decode the results.",
    insecure: "The browser gives the microphone only to pages on this computer or behind https.",
    refusedMicrophone: "The browser was not allowed to use the microphone. Allow it for this page, and try again.",
    noMicrophone: "No microphone was found.",
    failed: "Something went wrong: {sentence}",
    "refused.format": "This file is not a recording that can be read. WAV, FLAC, OGG and MP3 can.",
  },
  zh: {
    other: "English",
    otherLabel: "Show in English",
    title: "听清每一个人",
    lead: "几个人同时说话时，一支麦克风会把他们录在一起。把这样的录音放进来，就可以分别听到每个人的声音。",
    drop: "把录音拖到这里",
    choose: "选择文件",
    record: "录音",
    example: "试听示例",
    exampleName: "示例",
    limits: "WAV、FLAC、OGG 或 MP3，最长 {minutes} 分钟，最大 {megabytes} MB",
    expect: "效果如何",
    able: "这里的网络 {name} 适用于{people}的录音。它只处理 {kilohertz} kHz 以下的声音。",
    ableNarrow: "这里的网络 {name} 适用于{people}的录音。它只处理 {kilohertz} kHz 以下的声音，因此听起来像电话音质。",
    unable: "结果里常会残留其他人的声音。两个人的嗓音差别越大（例如一女一男），效果越好；它不适用于嘈杂环境或音乐。",
    openCard: "查看测得的效果",
    liveTitle: "麦克风实时分离",
    liveAble: "也可以对着麦克风说话，边说边分别听到每个人的声音。",
    liveUnable: "这个网络要先拿到完整的录音才能开始，因此不能实时处理麦克风。您可以先录音。",
    goLive: "开始实时分离",
    privateTitle: "录音会去哪里",
    keptHere: "录音只留在这台电脑上，分离完成 {minutes} 分钟后删除；重新开始时立即删除。",
    keptThere: "录音只会发送到 {host}，分离完成 {minutes} 分钟后在那里删除；重新开始时立即删除。",
    recording: "正在录音",
    recordingName: "录音",
    stopRecording: "停止并分离",
    discard: "放弃",
    working: "正在分离声音",
    sending: "正在发送录音",
    reading: "正在读取录音",
    waiting: "正在排队，前面还有 {ahead} 的录音",
    running: "已完成 {percent}%",
    estimate: "大约还需 {time}",
    opening: "正在打开结果",
    cancel: "取消",
    cancelled: "已取消。",
    ready: "完成：{number} 个声音。",
    zip: "全部下载",
    another: "换一段录音",
    play: "播放",
    pause: "暂停",
    position: "位置",
    positionValue: "{time}，共 {duration}",
    transport: "同步播放所有音轨",
    turns: "谁在何时说话",
    turnsOf: "{name}说话 {turns} 次，共 {time}",
    turnsList: "列表",
    turn: "{start} 至 {end}：{name}",
    mixture: "原录音",
    speaker: "声音 {number}",
    solo: "独听",
    soloOf: "独听：{name}",
    mute: "静音",
    muteOf: "静音：{name}",
    download: "下载",
    downloadOf: "下载：{name}",
    waveformOf: "{name}的波形",
    spectrogramOf: "{name}的频谱图：下方为低音，上方为高音",
    hint: "“独听”只播放一条音轨，其余音轨保持同步，播放时可以随时切换。点击图形可跳到该处。",
    liveHeading: "实时分离",
    latency: "听到的声音比说话晚",
    milliseconds: "{number} 毫秒",
    microphone: "麦克风",
    listen: "收听",
    listenOf: "收听：{name}",
    stopLive: "停止",
    headphones: "收听前请戴上耳机，否则麦克风会再次录到这些声音。",
    listening: "麦克风已打开。",
    stopped: "麦克风已关闭。",
    close: "关闭",
    again: "重试",
    full: "服务正在处理其他录音，队列已满。请大约 {time} 后再试。",
    offline: "无法连接服务。它还在运行吗？",
    gone: "服务丢失了这段录音，请重新发送。",
    token: "这个服务需要令牌，本页面无法提供。请联系服务的管理者。",
    large: "文件超过了 {megabytes} MB 的上限。",
    nothing: "没有录到任何声音。",
    unplayable: "您的浏览器无法解码结果。",
    insecure: "浏览器只允许本机页面或 https 页面使用麦克风。",
    refusedMicrophone: "浏览器不允许使用麦克风。请为本页面开放权限后重试。",
    noMicrophone: "没有找到麦克风。",
    failed: "出错了：{sentence}",
    // what the service refuses, by its word for the reason; where there is no text, its own sentence stands
    "refused.silent": "这个文件里没有声音。",
    "refused.format": "这个文件不是可以读取的录音。支持 WAV、FLAC、OGG 和 MP3。",
    "refused.damaged": "这个文件已损坏，无法读取。",
    "refused.bytes": "这个文件太大。",
    "refused.seconds": "这段录音太长。",
    "refused.rate": "这段录音的采样率不受支持，或者请求太频繁。",
    "refused.channels": "这段录音的声道太多。",
    "refused.decoding": "解码这个文件所需的内存或时间超过了限制。",
    "refused.streams": "这台机器无法再实时处理更多的声音。",
    "refused.starting": "服务正在启动，请稍后再试。",
    "refused.stopping": "服务正在停止，请稍后再试。",
    "refused.disk": "服务没有存储空间了，请稍后再试。",
  },
};

const PEOPLE = {
  en: ["", "one person", "two people", "three people", "four people", "five people"],
  zh: ["", "一个人", "两个人", "三个人", "四个人", "五个人"],
};

export const remembered = (key, value) => {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null; // the browser keeps nothing
  }
};

let language = remembered("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

/** Return a text; what stands in braces is filled in, and `person` and `people` become words. */
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
