"use strict";
// One channel over the three transports, each of which reconnects by itself with its last id.

const RETRY = 1000; // milliseconds until it reconnects

class Transport {
  constructor(name) {
    const section = document.getElementById("transport").content.cloneNode(true).firstElementChild;
    section.id = this.constructor.name.toLowerCase();
    section.querySelector("h2").textContent = name;
    section.querySelector(".cut").onclick = () => this.lost();
    document.getElementById("transports").append(section);
    this.find = (selector) => section.querySelector(selector);
  }

  follow(channel) {
    this.close();
    clearTimeout(this.timer);
    this.path = `../${encodeURIComponent(channel)}`;
    this.connections = 0;
    this.last = "";
    this.find("ol").replaceChildren();
    this.connect();
  }

  connect() {
    this.connections += 1;
    this.find(".connections").textContent = this.connections;
    this.state("connecting");
    this.open();
  }

  lost() {
    this.close();
    this.state("lost, reconnecting");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), RETRY);
  }

  state(text) {
    this.find(".state").textContent = text;
    this.find(".state").classList.toggle("open", text === "open");
  }

  // A message has data; a reset means that some were missed; anything else only carries the id to reconnect with.
  take({ id, data, reset }) {
    this.state("open");
    if (id) this.find(".last").textContent = this.last = id;
    if (reset) this.show("Messages were missed: reload your state", id, "reset");
    if (data !== undefined) this.show(typeof data === "string" ? data : JSON.stringify(data), id);
  }

  show(text, id, kind = "message") {
    const item = document.createElement("li");
    const code = document.createElement("code");
    code.textContent = id.split("-")[1];
    item.className = kind;
    item.dataset.id = id;
    item.append(text, code);
    this.find("ol").prepend(item);
  }

  query(more = "") {
    return `?${this.last ? `after=${this.last}&` : ""}${more}`;
  }
}

class Poll extends Transport {
  async open() {
    const stop = (this.stop = new AbortController());
    try {
      while (!stop.signal.aborted) {
        const answer = await fetch(`${this.path}/poll${this.query("wait=20")}`, { signal: stop.signal });
        if (!answer.ok) throw new Error(answer.statusText);
        const { id, reset, messages } = await answer.json();
        for (const message of messages) this.take(message);
        this.take({ id, reset });
      }
    } catch {
      if (!stop.signal.aborted) this.lost();
    }
  }

  close() {
    this.stop?.abort();
  }
}

class Events extends Transport {
  open() {
    // EventSource reconnects by itself with its last id; it is opened again here only after an error or a cut.
    const source = (this.source = new EventSource(`${this.path}/events${this.query()}`));
    const taken = (event) => ({ id: event.lastEventId });
    source.onopen = () => this.state("open");
    source.onmessage = (event) => this.take({ ...taken(event), data: JSON.parse(event.data) });
    source.addEventListener("id", (event) => this.take(taken(event)));
    source.addEventListener("reset", (event) => this.take({ ...taken(event), reset: true }));
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.lost();
      else this.state("lost, reconnecting");
    };
  }

  close() {
    this.source?.close();
  }
}

class Socket extends Transport {
  open() {
    const address = new URL(`${this.path}/socket${this.query()}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.socket = new WebSocket(address));
    socket.onmessage = (event) => {
      for (const line of event.data.split("\n")) this.take(JSON.parse(line));
    };
    socket.onclose = () => {
      if (this.socket === socket) this.lost();
    };
  }

  close() {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}

const transports = [new Poll("Long poll"), new Events("Server-sent events"), new Socket("WebSocket")];
const field = (id) => document.getElementById(id);

field("follow").onsubmit = (event) => {
  event.preventDefault();
  for (const transport of transports) transport.follow(field("channel").value);
};

field("publish").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await fetch(`../${encodeURIComponent(field("channel").value)}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(field("text").value),
  });
  const told = await answer.json();
  field("published").textContent = answer.ok ? `accepted as ${told.id}` : `rejected: ${told.detail}`;
};

for (const transport of transports) transport.follow(field("channel").value);
