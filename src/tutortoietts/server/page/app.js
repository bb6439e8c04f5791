"use strict";
// One file for the page and for the recorder's audio worklet, which has no document.
if (typeof registerProcessor === "function") {
  registerProcessor("recorder", class extends AudioWorkletProcessor {
    process(inputs) {
      if (inputs[0][0]) this.port.postMessage(inputs[0][0].slice());
      return true;
    }
  });
} else {
  main();
}

function main() {
  const $ = (id) => document.getElementById(id);
  const RATE = 24000, LEAD = 0.06, LONGEST = 30 * 60 * RATE;
  const SAMPLES = {
    "A greeting": "Hello! It is good to hear you. What shall we read today?",
    "A story": "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do.",
    "Numbers": "On May 3rd, 2026, 1,250 people paid $4.50 each, which is £3.30, or 12% more than at 9:30 a.m. the day before.",
  };
  let server = { max_input: 4096, cloning: false }, voices = [], running = null, context = null, clips = [];

  // Talking to the server.
  const base = new URL(".", location.href);
  const url = (path) => new URL(path, base);
  const keyed = () => {
    const key = sessionStorage.getItem("key");
    return key ? { authorization: "Bearer " + key } : {};
  };
  async function ask(path, options = {}) {
    let answer;
    try {
      answer = await fetch(url(path), { ...options, headers: { ...keyed(), ...options.headers } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server cannot be reached: see that it still runs, then try again.");
    }
    if (answer.status === 401 && await askForKey()) return ask(path, options);
    if (!answer.ok) throw new Error(await explained(answer));
    return answer;
  }
  async function explained(answer) {
    const told = await answer.json().then((body) => body.error.message, () => answer.statusText);
    const wait = answer.headers.get("retry-after");
    return told[0].toUpperCase() + told.slice(1) + (wait ? ` (Try again in ${wait} s.)` : "");
  }
  function askForKey() {
    return new Promise((resolve) => {
      const dialog = $("ask");
      if (dialog.open) return resolve(false);
      $("key").value = "";
      dialog.returnValue = "";
      dialog.showModal();
      dialog.addEventListener("close", () => {
        const good = dialog.returnValue === "ok" && $("key").value !== "";
        if (good) sessionStorage.setItem("key", $("key").value);
        resolve(good);
      }, { once: true });
    });
  }
  function show(id, error) {
    $(id).textContent = error ? error.message : "";
    $(id).hidden = !error;
  }

  // The state of the server.
  async function lookUp() {
    try {
      const answer = await fetch(url("health/ready"));
      const state = await answer.json();
      const first = !server.model && state.model;
      server = state;
      const busy = state.running ? ` · ${state.running} speaking` + (state.queue ? `, ${state.queue} waiting` : "") : "";
      $("server").textContent = state.status === "ready" ? `${state.model} on ${state.device}${busy}` : state.status + " …";
      $("server").className = "pill " + (state.status === "ready" ? "ready" : state.status === "loading" ? "" : "bad");
      $("server").title = `version ${state.version}, ${state.precision}`;
      if (first || (state.status === "ready" && !voices.length)) await fill();
    } catch {
      $("server").textContent = "no connection";
      $("server").className = "pill bad";
    }
    count();
    setTimeout(lookUp, document.hidden ? 30000 : 4000);
  }
  async function fill() {
    options($("preset"), ["", ...server.presets], (name) => name || "the model's own");
    $("clone").hidden = !server.cloning;
    $("nocloning").hidden = server.cloning;
    await listVoices();
  }
  async function listVoices(chosen) {
    voices = (await (await ask("v1/audio/voices")).json()).voices;
    options($("voice"), voices.map((voice) => voice.id), (name) => name, chosen || $("voice").value || server.voice);
    $("own").replaceChildren(...voices.filter((voice) => voice.kind === "added").map(ownVoice));
    mixer();
    code();
  }
  function options(select, values, shown, chosen) {
    select.replaceChildren(...values.map((value) => new Option(shown(value), value, false, value === chosen)));
  }

  // The mixer: the voice above, and two more.
  function mixer() {
    const rows = [0, 1, 2].map((number) => {
      const row = document.createElement("div");
      const name = document.createElement(number ? "select" : "strong");
      if (number) {
        options(name, ["", ...voices.map((voice) => voice.id)], (voice) => voice || "none");
        name.setAttribute("aria-label", `Voice ${number + 1} of the mix`);
      }
      const weight = document.createElement("input");
      Object.assign(weight, { type: "range", min: 0.1, max: 2, step: 0.1, value: 1 });
      weight.setAttribute("aria-label", `Weight of voice ${number + 1}`);
      const shown = document.createElement("span");
      row.append(name, weight, shown);
      row.addEventListener("input", mixed);
      return row;
    });
    $("mix").replaceChildren(...rows);
    mixed();
  }
  function mixed() {
    const terms = [...$("mix").children].map((row, number) => {
      const [name, weight, shown] = row.children;
      if (!number) name.textContent = $("voice").value;
      shown.textContent = Number(weight.value).toFixed(1);
      weight.disabled = number > 0 && !name.value;
      return [number ? name.value : $("voice").value, Number(weight.value)];
    }).filter(([name]) => name);
    const spec = terms.length === 1 ? terms[0][0] : terms.map(([name, w]) => w === 1 ? name : `${name}*${w}`).join("+");
    $("mixed").textContent = spec;
    code();
    return spec;
  }

  // Speaking.
  function request(extra) {
    const chosen = document.querySelector("input[name=quality]:checked").value;
    const body = { input: $("text").value, voice: mixed(), decoder: chosen, speed: Number($("speed").value), ...extra };
    if ($("seed").value) body.seed = Number($("seed").value);
    if ($("preset").value) body.preset = $("preset").value;
    return body;
  }
  async function speak() {
    stop();
    show("problem");
    if (!$("text").value.trim()) {
      show("problem", new Error("There is no text yet: type something to hear."));
      $("text").focus();
      return;
    }
    const abort = new AbortController(), began = performance.now(), body = request({ response_format: "pcm" });
    running = { abort, sources: new Set() };
    const mine = running;
    busy(true);
    $("state").textContent = server.running >= 1 ? "waiting for its turn …" : "thinking …";
    try {
      context = context || new AudioContext({ sampleRate: RATE });
      await context.resume();
      const answer = await ask("v1/audio/speech", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal: abort.signal,
      });
      const seed = answer.headers.get("x-tutortoietts-seed");
      const first = (performance.now() - began) / 1000;
      const sound = await play(answer.body.getReader(), mine, (seconds) => {
        $("state").textContent = `first sound after ${(first * 1000).toFixed(0)} ms, ${seconds.toFixed(1)} s so far`;
      });
      const seconds = sound.length / RATE, took = (performance.now() - began) / 1000;
      $("state").textContent = `${seconds.toFixed(1)} s of speech in ${took.toFixed(1)} s ` +
        `(first sound ${(first * 1000).toFixed(0)} ms, real-time factor ${(took / seconds).toFixed(2)})`;
      keep({ body: { ...body, seed: Number(seed) }, sound, seconds });
    } catch (error) {
      if (error.name !== "AbortError") {
        const cut = error instanceof TypeError || /network/i.test(error.message);
        show("problem", cut ? new Error("The connection broke before the end, so the rest is missing: try again.") : error);
        $("state").textContent = "";
      } else {
        $("state").textContent = "stopped";
      }
    } finally {
      if (running === mine) { busy(false); if (!mine.sources.size) running = null; }
    }
  }
  async function play(reader, mine, tell) {
    const parts = [];
    let at = 0, total = 0, rest = new Uint8Array(0), lead = LEAD;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const bytes = new Uint8Array(rest.length + value.length);
      bytes.set(rest);
      bytes.set(value, rest.length);
      const whole = bytes.length & ~1;
      rest = bytes.slice(whole);
      if (!whole) continue;
      const samples = Float32Array.from(new Int16Array(bytes.buffer, 0, whole / 2), (sample) => sample / 32768);
      if (total < LONGEST) parts.push(samples);
      total += samples.length;
      const buffer = context.createBuffer(1, samples.length, RATE);
      buffer.copyToChannel(samples, 0);
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.connect(context.destination);
      if (at < context.currentTime) {
        if (at) lead = Math.min(2 * lead, 1);
        at = context.currentTime + lead;
      }
      source.start(at);
      at += buffer.duration;
      mine.sources.add(source);
      source.onended = () => {
        mine.sources.delete(source);
        if (!mine.sources.size && running === mine && !$("go").disabled) { running = null; $("stop").disabled = true; }
      };
      tell(total / RATE);
    }
    const sound = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    let filled = 0;
    for (const part of parts) { sound.set(part, filled); filled += part.length; }
    return sound;
  }
  function stop() {
    if (!running) return;
    running.abort.abort();
    for (const source of running.sources) { source.onended = null; source.stop(); }
    running = null;
    busy(false);
    $("stop").disabled = true;
  }
  function busy(on) {
    $("go").disabled = on;
    if (on) $("stop").disabled = false;
    else if (!running || !running.sources.size) $("stop").disabled = true;
    $("speak").setAttribute("aria-busy", String(on));
  }

  // What was spoken.
  function wav(sound, rate) {
    const view = new DataView(new ArrayBuffer(44 + 2 * sound.length));
    const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
    text(0, "RIFF"); view.setUint32(4, 36 + 2 * sound.length, true); text(8, "WAVEfmt ");
    view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
    view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
    view.setUint16(32, 2, true); view.setUint16(34, 16, true); text(36, "data"); view.setUint32(40, 2 * sound.length, true);
    sound.forEach((sample, i) => view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, sample)) * 32767, true));
    return new Blob([view.buffer], { type: "audio/wav" });
  }
  function keep({ body, sound, seconds }) {
    const item = document.createElement("li"), title = document.createElement("p"), line = document.createElement("div");
    title.textContent = body.input;
    title.title = body.input;
    const player = document.createElement("audio");
    player.controls = true;
    player.src = URL.createObjectURL(wav(sound, RATE));
    player.setAttribute("aria-label", "Spoken: " + body.input.slice(0, 60));
    line.className = "row between";
    const facts = document.createElement("span");
    facts.className = "hint";
    facts.textContent = `${body.voice} · ${seconds.toFixed(1)} s · seed ${body.seed}`;
    const link = document.createElement("a");
    const form = $("format").value;
    link.textContent = `Download ${form}`;
    link.href = player.src;
    link.download = `speech-${body.seed}.${form}`;
    if (form !== "wav") link.addEventListener("click", (event) => download(event, link, { ...body, response_format: form }));
    line.append(facts, link);
    item.append(title, player, line);
    $("clips").prepend(item);
    $("results").hidden = false;
    clips.push(item);
    if (clips.length > 20) {
      const old = clips.shift();
      URL.revokeObjectURL(old.querySelector("audio").src);
      old.remove();
    }
  }
  async function download(event, link, body) {
    if (link.dataset.made) return;
    event.preventDefault();
    show("problem");
    try {
      const answer = await ask("v1/audio/speech", {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...body, stream: false }),
      });
      link.href = URL.createObjectURL(await answer.blob());
      link.dataset.made = "yes";
      link.click();
    } catch (error) {
      show("problem", error);
    }
  }

  // Voices of one's own.
  let chosen = [], recording = null;
  function ownVoice(voice) {
    const item = document.createElement("li"), name = document.createElement("span"), button = document.createElement("button");
    name.textContent = voice.name;
    button.type = "button";
    button.className = "quiet";
    button.textContent = "Delete";
    button.setAttribute("aria-label", "Delete " + voice.name);
    button.addEventListener("click", async () => {
      if (!confirm(`Delete the voice "${voice.name}"? Its clips are deleted too.`)) return;
      show("cloneproblem");
      try {
        await ask("v1/audio/voices/" + encodeURIComponent(voice.id), { method: "DELETE" });
        await listVoices();
      } catch (error) {
        show("cloneproblem", error);
      }
    });
    item.append(name, button);
    return item;
  }
  function choose(files) {
    chosen.push(...files);
    $("chosen").replaceChildren(...chosen.map((file) => {
      const item = document.createElement("li");
      item.textContent = `${file.name}, ${(file.size / 1024).toFixed(0)} kB`;
      return item;
    }));
  }
  function forget() {
    chosen = [];
    $("files").value = "";
    choose([]);
  }
  async function record() {
    if (recording) return recording();
    show("cloneproblem");
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const recorder = new AudioContext();
      await recorder.audioWorklet.addModule(url("ui/app.js"));
      const node = new AudioWorkletNode(recorder, "recorder"), parts = [];
      let samples = 0;
      node.port.onmessage = ({ data }) => {
        parts.push(data);
        samples += data.length;
        $("clonestate").textContent = `recording, ${(samples / recorder.sampleRate).toFixed(0)} s`;
        if (samples > 50 * recorder.sampleRate && recording) recording();
      };
      recorder.createMediaStreamSource(stream).connect(node);
      $("record").textContent = "Stop recording";
      recording = () => {
        recording = null;
        $("record").textContent = "Record";
        stream.getTracks().forEach((track) => track.stop());
        const sound = new Float32Array(samples);
        let at = 0;
        for (const part of parts) { sound.set(part, at); at += part.length; }
        choose([new File([wav(sound, recorder.sampleRate)], `recording-${chosen.length + 1}.wav`)]);
        $("clonestate").textContent = "";
        recorder.close();
      };
    } catch (error) {
      const why = navigator.mediaDevices ? error.message : "browsers record only on localhost or over HTTPS";
      show("cloneproblem", new Error("Recording is not possible: " + why + "."));
    }
  }
  async function clone(event) {
    event.preventDefault();
    show("cloneproblem");
    const problem = !chosen.length ? "Add at least one clip of the speaker." : !$("consent").checked
      ? "Without the speaker's consent no voice is made: tick the box if you have it." : "";
    if (problem) return show("cloneproblem", new Error(problem));
    const form = new FormData();
    form.append("name", $("name").value);
    form.append("consent", "confirmed on the page: I am this speaker, or have their consent");
    for (const file of chosen) form.append("audio_sample", file, file.name);
    $("clonestate").textContent = "listening to the clips …";
    try {
      const made = await (await ask("v1/audio/voices", { method: "POST", body: form })).json();
      $("clonestate").textContent = `${made.name} can speak now.`;
      $("clone").reset();
      forget();
      await listVoices(made.id);
    } catch (error) {
      $("clonestate").textContent = "";
      show("cloneproblem", error);
    }
  }

  // Code to copy.
  const SNIPPETS = {
    curl: (at, voice) => `curl ${at}v1/audio/speech \\\n  -H 'Content-Type: application/json' \\\n` +
      `  -d '{"input": "Hello there.", "voice": "${voice}"}' -o hello.mp3`,
    Python: (at, voice) => `from openai import OpenAI\n\nclient = OpenAI(base_url="${at}v1", api_key="none")\n` +
      `speech = client.audio.speech.create(\n    model="tts-1", voice="${voice}", input="Hello there.")\nspeech.write_to_file("hello.mp3")`,
    "Open WebUI": (at, voice) => "Admin Panel > Settings > Audio > Text-to-Speech\n\n" +
      `Engine:    OpenAI\nBase URL:  ${at}v1\nAPI key:   none, or yours\nVoice:     ${voice}\nModel:     tts-1`,
    SillyTavern: (at, voice) => "Extensions > TTS > OpenAI Compatible\n\n" +
      `Provider endpoint:  ${at}v1/audio/speech\nModel:              tts-1\nAvailable voices:   ${voice}`,
    "Home Assistant": () => "On the server: tutortoietts serve --wyoming 10200\n\n" +
      `Settings > Devices & services > Add integration > Wyoming Protocol\n\nHost:  ${location.hostname}\nPort:  10200`,
  };
  let tab = "curl";
  function code() {
    $("code").textContent = SNIPPETS[tab](base.href, $("mixed").textContent || "clara");
    $("tabs").replaceChildren(...Object.keys(SNIPPETS).map((name) => {
      const button = document.createElement("button");
      Object.assign(button, { type: "button", textContent: name, tabIndex: name === tab ? 0 : -1 });
      button.setAttribute("role", "tab");
      button.setAttribute("aria-selected", String(name === tab));
      button.setAttribute("aria-controls", "codepanel");
      button.addEventListener("click", () => { tab = name; code(); focusTab(); });
      return button;
    }));
  }
  const focusTab = () => $("tabs").querySelector("[aria-selected=true]").focus();
  $("tabs").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = Object.keys(SNIPPETS);
    tab = names[(names.indexOf(tab) + step + names.length) % names.length];
    code();
    focusTab();
  });

  // What is clicked and typed.
  function count() {
    const length = $("text").value.length, most = server.max_input || 4096;
    $("count").textContent = `${length.toLocaleString("en")} of ${most.toLocaleString("en")} characters`;
    $("count").classList.toggle("over", length > most);
  }
  for (const [name, text] of Object.entries(SAMPLES)) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", textContent: name });
    button.addEventListener("click", () => { $("text").value = text; count(); });
    $("samples").append(button);
  }
  $("text").addEventListener("input", count);
  $("voice").addEventListener("change", mixed);
  $("speed").addEventListener("input", () => { $("speedshown").textContent = Number($("speed").value).toFixed(2); });
  $("dice").addEventListener("click", () => { $("seed").value = Math.floor(Math.random() * 2 ** 31); });
  $("speak").addEventListener("submit", (event) => { event.preventDefault(); speak(); });
  $("stop").addEventListener("click", () => { stop(); $("go").focus(); });
  $("preview").addEventListener("click", async () => {
    show("problem");
    try {
      const answer = await ask(`v1/audio/voices/${encodeURIComponent($("voice").value)}/sample`);
      const player = new Audio(URL.createObjectURL(await answer.blob()));
      player.onended = () => URL.revokeObjectURL(player.src);
      await player.play();
    } catch (error) {
      show("problem", error);
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); speak(); }
    if (event.key === "Escape" && !$("ask").open) stop();
  });
  $("clone").addEventListener("submit", clone);
  $("files").addEventListener("change", () => choose($("files").files));
  $("record").addEventListener("click", record);
  for (const kind of ["dragover", "dragleave", "drop"]) {
    $("drop").addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") choose([...event.dataTransfer.files]);
    });
  }
  $("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText($("code").textContent);
      $("copy").textContent = "Copied";
    } catch {
      getSelection().selectAllChildren($("code"));
      $("copy").textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => { $("copy").textContent = "Copy"; }, 2000);
  });
  window.addEventListener("pagehide", stop);
  code();
  lookUp();
}
