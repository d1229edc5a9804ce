// Talking to the server, and telling what comes of it.

export const $ = (selector, place = document) => place.querySelector(selector);

const tab = [...crypto.getRandomValues(new Uint32Array(4))].map((number) => number.toString(16)).join('-');
const headers = { 'x-rspnet-tab': tab };
const EVERY_MS = 1500;

// What the server says of a request that it refuses.
class Refused extends Error {}

// One error at a time: the next one, or success, takes its place.
export function tell(text) {
  const notice = $('#notice');
  notice.textContent = text;
  notice.hidden = !text;
  if (text) notice.scrollIntoView({ block: 'nearest' });
}

export async function call(path, { fields, said, signal } = {}) {
  let answer;
  try {
    const posted = said === undefined ? {} : { method: 'POST', body: JSON.stringify(said) };
    answer = await fetch(`api/${path}${fields ? `?${new URLSearchParams(fields)}` : ''}`, { signal, headers, ...posted });
  } catch (error) {
    if (error.name !== 'AbortError') lose();
    throw error;
  }
  const isValue = answer.headers.get('content-type')?.startsWith('application/json');
  if (!isValue) throw new Refused('the server failed at this: its terminal says why');
  const value = await answer.json();
  if (!answer.ok) throw new Refused(value.error);
  return value;
}

// Does something that calls the server, and tells what went wrong.
export async function attempt(action) {
  try {
    await action();
    tell('');
  } catch (error) {
    if (error instanceof Refused) tell(error.message);
    else if (error.name !== 'AbortError' && !lost) throw error;
  }
}

let lost = null;
let goOn = () => {};
export const whenBack = (action) => { goOn = action; };

function lose() {
  if (lost) return;
  const banner = $('#lost');
  banner.textContent = 'The server does not answer. This page goes on by itself once rspnet serve runs again.';
  banner.hidden = false;
  lost = setInterval(async () => {
    const answer = await fetch('api/alive', { headers, signal: AbortSignal.timeout(EVERY_MS) }).catch(() => null);
    if (!answer?.ok || !lost) return;
    clearInterval(lost);
    lost = null;
    banner.hidden = true;
    goOn();
  }, EVERY_MS);
}

// Sends a file; `progress` is told how far it is, `done` gets the ticket to open it with.
export function send(file, progress, done) {
  const request = new XMLHttpRequest();
  request.open('POST', `upload?name=${encodeURIComponent(file.name)}`);
  request.setRequestHeader('x-rspnet-tab', tab);
  request.upload.onprogress = ({ loaded, total }) => progress(`sending, ${Math.round((100 * loaded) / total)} %`);
  request.onerror = () => { progress(''); lose(); };
  request.onload = () => {
    progress('');
    if (request.status === 200) done(request.responseText);
    else tell(request.responseText.startsWith(file.name) ? request.responseText : `${file.name}: ${request.responseText}`);
  };
  request.send(file);
}
