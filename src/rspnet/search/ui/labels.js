// Labels: the marks on the cards, the keys, and the steps that the server is told of, one after the other.
import { $, attempt, call, send } from './server.js';

let place;
let go;
let last = Promise.resolve();

// What the panel says of every card becomes its buttons: a key's number, and the name where the class holds.
export function showMarks() {
  const panel = $('#labels .classes');
  if (!panel) return;
  const state = JSON.parse(panel.dataset.state);
  const places = [...document.querySelectorAll('.hit')].map((hit, index) => [hit, state.cards[index], index]);
  places.push([$('.query'), state.query, null]);
  for (const [card, marks, index] of places) {
    const holder = card?.querySelector('.mark');
    if (!holder) continue;
    const wanted = marks ? state.classes : [];
    while (holder.children.length > wanted.length) holder.lastChild.remove();
    wanted.forEach((name, label) => {
      const button = holder.children[label] ?? holder.appendChild(document.createElement('button'));
      const on = marks.includes(label);
      Object.assign(button, { type: 'button', title: name, textContent: on ? `${label + 1} ${name}` : label + 1 });
      Object.assign(button.dataset, { do: 'mark', label }, index === null ? {} : { index });
      button.style.setProperty('--class', state.colours[label]);
      button.setAttribute('aria-pressed', on);
      button.setAttribute('aria-label', on ? `${label + 1} ${name}: take back` : `${label + 1}: mark as ${name}`);
    });
  }
}

export function showLabels({ panel, strip }) {
  place('#labels', panel);
  place('#strip', strip);
  showMarks();
}

// Keys come quickly: none is dropped, one is done at a time.
export function step(name, said = {}) {
  last = last.then(() => attempt(async () => {
    const answer = await call(name, { said });
    showLabels(answer);
    if (name === 'train') go({ show: answer.shows.some(([show]) => show === go.at('show')) ? go.at('show') : answer.shows[0][0] });
  }));
  return last;
}

function pressed(event) {
  const typed = 'input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select';
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches(typed) || $('dialog[open]')) return;
  const own = event.target.closest('.hit, .query');
  const card = own ?? $('.hit:hover, .query:hover');
  if (/^[1-9]$/.test(event.key) && card) {
    card.querySelector(`[data-do=mark][data-label="${event.key - 1}"]`)?.click();
    own?.nextElementSibling?.querySelector('.film video')?.focus();
  } else if (event.key === 'u' || event.key === 't') {
    step(event.key === 'u' ? 'undo' : 'train');
  } else if (own && (event.key === 'ArrowRight' || event.key === 'ArrowLeft')) {
    const next = event.key === 'ArrowRight' ? own.nextElementSibling : own.previousElementSibling;
    next?.querySelector('.film video')?.focus();
    event.preventDefault();
  }
}

// The time at a place of a bar that stands for a whole video.
export function timeAt(bar, x, duration) {
  const box = bar.getBoundingClientRect();
  return (duration * (x - box.left)) / box.width;
}

// Where a part of some length starts that is wanted at `start` and has to lie in the video.
export const startIn = (start, length, duration) => Math.max(0, Math.min(start, duration - length));

// A click on the strip asks with that moment: a part as long as the query's, around it.
function seekTo(bar, x) {
  const { length, duration } = bar.closest('.strip').dataset;
  const start = startIn(timeAt(bar, x, duration) - length / 2, length, duration);
  go({ from: start.toFixed(3), to: (start + Number(length)).toFixed(3), show: null });
}

export function watchLabels(placing, going) {
  place = placing;
  go = going;
  document.addEventListener('keydown', pressed);
  document.addEventListener('click', ({ target, clientX }) => {
    const bar = target.closest('[data-time]');
    if (bar) seekTo(bar, clientX);
  });
  document.addEventListener('submit', (event) => {
    if (!event.target.matches('.classes .new')) return;
    event.preventDefault();
    step('class', { name: event.target.querySelector('input').value });
  });
  document.addEventListener('change', ({ target }) => {
    if (!target.matches('.files input[type=file]') || !target.files[0]) return;
    const [file] = target.files;
    const progress = (text) => { $('#labels [role=status]').textContent = text; };
    send(file, progress, (ticket) => step('import', { ticket, name: file.name }));
    target.value = '';
  });
}
