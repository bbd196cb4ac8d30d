"""Scripts that run before those of the web page: they stand between it and the server."""

from __future__ import annotations

import json


def refusing(status: int, detail: str, question: str = "explain") -> str:
    """A script for the browser: the first such question meets this problem."""
    return f"""
      const real = fetch;
      let left = 1;
      window.fetch = async (path, options) => {{
        if (!path.includes("{question}") || left-- <= 0) return real(path, options);
        const body = JSON.stringify({{ detail: {json.dumps(detail)}, status: {status} }});
        return new Response(body, {{ status: {status}, headers: {{ "Retry-After": "1",
          "Content-Type": "application/problem+json" }} }});
      }};
    """


def changing(question: str, change: str) -> str:
    """A script for the browser: the answers to a question, `told`, come to the page changed."""
    return f"""
      const real = fetch;
      window.asked = [];
      window.fetch = async (path, options) => {{
        window.asked.push(path);
        const answer = await real(path, options);
        if (path !== "v1/{question}") return answer;
        const told = await answer.json();
        {change};
        return Response.json(told);
      }};
    """


GATE = """
  const real = fetch;
  window.now = window.most = 0;
  window.gate = new Promise((resolve) => { window.open = resolve; });
  window.fetch = async (path, options) => {
    if (!path.includes("explain")) return real(path, options);
    window.most = Math.max(window.most, ++window.now);
    await window.gate;
    return real(path, options).finally(() => { window.now -= 1; });
  };
"""  # questions about photos wait until window.open() is called

SILENT = """
  const real = fetch;
  let left = 1;
  window.fetch = async (path, options) => {
    if (path.includes("explain") && left-- > 0) throw new TypeError("Failed to fetch");
    return real(path, options);
  };
"""  # the first question about a photo meets no server

COUNT = """
  window.live = new Set();
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = (blob) => {
    const made = createObjectURL(blob);
    live.add(made);
    return made;
  };
  URL.revokeObjectURL = (url) => { live.delete(url); revokeObjectURL(url); };
"""  # `live` are the pictures that the page holds

GIVE = """
  const [data, kind, member, event] = arguments;
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], kind + ".png", { type: "image/png" }));
  const made = { drop: DragEvent, dragover: DragEvent, paste: ClipboardEvent }[event];
  document.body.dispatchEvent(new made(event, { [member]: transfer, bubbles: true,
    cancelable: true }));
"""  # a file, base64, as an event gives it

GIVE_TEXT = """
  const transfer = new DataTransfer();
  transfer.setData("text/plain", "not a file");
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true,
    cancelable: true }));
"""  # a drop that brings no file

MANY = """
  const best = told.results;
  told.pictures = 150;
  told.results = Array.from({ length: options.body.get("k") }, (_, i) =>
    ({ ...best[i % best.length], image: i.toString(16).padStart(64, "0") }));
"""  # the answer to a search, as from a library of 150 pictures

PAGES = """
  const real = fetch;
  window.asked = [];
  window.added = 0;
  const photo = (i) => ({ image: (i + 8).toString(16).padStart(64, "0"), copies: [],
    name: i < 0 ? `new ${-1 - i}` : `photo ${i}`, caption: "a dog", date: "2024-05-31T10:00:00",
    date_of: "exif", folder: "" });
  window.fetch = async (path, options) => {
    if (path.startsWith("v1/pictures/")) {
      const { results: [first] } = await (await real("v1/pictures?k=1")).json();
      return real(`v1/pictures/${first.image}?side=512`, options);
    }
    if (!path.startsWith("v1/pictures?")) return real(path, options);
    const said = new URLSearchParams(path.split("?")[1]);
    const start = said.has("after") ? Number(said.get("after")) : -window.added;
    const end = Math.min(start + Number(said.get("k")), 200);
    if (said.get("k") === "60") window.asked.push(start);
    return Response.json({ pictures: 200 + window.added, next: end < 200 ? String(end) : null,
      results: Array.from({ length: end - start }, (_, i) => photo(start + i)) });
  };
"""  # 200 photos of one day, and `added` newer ones

KEPT = """
  window.kept = null;
  const { createObjectURL } = URL;
  const blobs = new Map();
  URL.createObjectURL = (blob) => {
    const made = createObjectURL(blob);
    blobs.set(made, blob);
    return made;
  };
  HTMLAnchorElement.prototype.click = async function () {
    const bytes = new Uint8Array(await blobs.get(this.href).arrayBuffer());
    window.kept = [this.download, btoa(String.fromCharCode(...bytes))];
  };
"""  # the name and the content, base64, of the file that the page gave the user

FORMATTED = """
  const [calls, done] = arguments;
  import("./web/format.js").then((format) => done(calls.map((call) => {
    const [, name, of] = call.match(/(\\w+)\\((.*)\\)/);
    return format[name](...JSON.parse(`[${of}]`));
  })));
"""  # numbers as the page writes them

READINGS = {
    "percent(0.434)": "43%",
    "percent(0.0434)": "4.3%",
    "percent(0.00001)": "< 0.1%",
    "percent(1)": "> 99.9%",
    "percent(0.995)": "99.5%",
    "spokenPercent(0.00001)": "under 0.1 percent",
    "factor(1.1756)": "× 3.2",
    "factor(-3.478)": "÷ 32",
    "factor(0.001)": "× 1.0",
    "factor(-0.001)": "× 1.0",
    "factor(20)": "× 5e8",
    "signed(-1.25, 2)": "−1.25",
    "signed(3)": "+3.0",
    "minus(-10.04)": "−10.0",
    'shown("##END##")': "(end)",
    'shown("dog")': "dog",
    'shown("constructor")': "constructor",
    'counted(1, "picture")': "1 picture",
    'counted(12345, "picture")': "12,345 pictures",
}
