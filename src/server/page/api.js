// api.js - the server's interface, and the key where it wants one.

let key = sessionStorage.getItem("key") || "";
const photos = new Map(); // product id -> URL of its photo, fetched with the key

export class Fault extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

function headers(more) {
  return key ? { ...more, Authorization: `Bearer ${key}` } : more;
}

async function send(path, options, asked) {
  const answer = await fetch(path, { ...options, headers: headers(options.headers || {}) });
  if (answer.status === 401 && !asked) {
    const given = prompt("This server wants its API key:", "");
    if (given) {
      key = given.trim();
      sessionStorage.setItem("key", key);
      return send(path, options, true);
    }
  }
  if (answer.ok) return answer;
  let message = `the server answered ${answer.status}`;
  try {
    message = (await answer.json()).error.message;
  } catch { /* not ours: a proxy's page */ }
  throw new Fault(answer.status, message, Number(answer.headers.get("Retry-After")) || 0);
}

export async function get(path) {
  return (await send(path, {})).json();
}

// fields: name -> text, number, object, or a File, which makes it multipart.
export async function post(path, fields, signal) {
  const files = Object.values(fields).some((value) => value instanceof Blob);
  if (!files) {
    const body = JSON.stringify(fields);
    return (await send(path, { method: "POST", body, signal,
                               headers: { "Content-Type": "application/json" } })).json();
  }
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value instanceof Blob) form.append(name, value, "image");
    else form.append(name, typeof value === "object" ? JSON.stringify(value) : String(value));
  }
  return (await send(path, { method: "POST", body: form, signal })).json();
}

function photoPath(id) {
  return `/v1/products/${encodeURIComponent(id)}/image`;
}

// A photo into an <img>: by its address, or, where a key is wanted, fetched with it.
export async function showPhoto(image, id) {
  if (!key) {
    image.src = photoPath(id);
    return;
  }
  if (!photos.has(id)) {
    photos.set(id, send(photoPath(id), {}).then((answer) => answer.blob())
      .then((blob) => URL.createObjectURL(blob)).catch(() => ""));
  }
  image.src = await photos.get(id);
}
