// The page: its address is all that makes a search, so Back, reload and a copied address show the same again.
import { filmsOf, putBack, watchFilms } from './films.js';
import { showMarks, startIn, step, timeAt, watchLabels } from './labels.js';
import { drawMap } from './map.js';
import { $, attempt, call, send, tell, whenBack } from './server.js';

const SHORTEST = 0.2;
const WAIT_MS = 120;
const SAME_STEP_MS = 1500;
const SLOW_MS = 300;
const SEARCHING = 'Searching...';

let address = new URLSearchParams(location.search);
let about = null;
let shown = { hits: [], query: null };
let underway = null;
let timer = null;
let lastStep = { what: '', at: 0 };

// --- the address

// Changes fields of the address and shows what it then asks for; a moving slider makes one step of Back.
function go(changes, { moving = '' } = {}) {
  const next = new URLSearchParams(address);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const one of [value].flat()) if (one !== null && one !== '') next.append(name, one);
  }
  const goesOn = moving && lastStep.what === moving && Date.now() - lastStep.at < SAME_STEP_MS;
  lastStep = { what: moving, at: Date.now() };
  address = next;
  history[goesOn ? 'replaceState' : 'pushState'](null, '', next.size ? `?${next}` : './');
  clearTimeout(timer);
  timer = setTimeout(run, moving ? WAIT_MS : 0);
}
go.at = (name) => address.get(name) ?? '';

const ask = (name, part = {}) => go({ q: name, from: null, to: null, show: null, ...part });

async function run() {
  timer = null;
  underway?.abort();
  underway = new AbortController();
  const { signal } = underway;
  const slow = setTimeout(() => { $('#news').textContent = SEARCHING; }, SLOW_MS);
  $('#cards').setAttribute('aria-busy', 'true');
  await attempt(async () => {
    about ??= meet(await call('about', { signal }));
    showControls();
    if (address.has('q') || address.has('show')) showSearch(await call('search', { fields: address, signal }));
    else await showStart(signal);
    clearTimeout(slow);
    if (address.get('view') === 'map') await showMap(signal);
  });
  clearTimeout(slow);
  if (signal.aborted) return;
  $('#cards').setAttribute('aria-busy', 'false');
  if ($('#news').textContent === SEARCHING) $('#news').textContent = '';
}

// --- what is shown

function selectorOf(element) {
  const data = Object.entries(element.dataset).filter(([name]) => ['do', 'index', 'label', 'name'].includes(name));
  if (data.length) return data.map(([name, value]) => `[data-${name}="${CSS.escape(value)}"]`).join('');
  const card = element.closest('.hit');
  if (card && element.matches('video')) return `.hit[data-index="${card.dataset.index}"] video`;
  return element.matches('input[type=text]') ? 'input[type=text]' : 'video';
}

// Fills a place anew; films that were in it stay loaded, and the focus stays where it was or goes to the news.
function place(id, html) {
  const holder = $(id);
  const focus = holder.contains(document.activeElement) ? selectorOf(document.activeElement) : null;
  const films = filmsOf(holder);
  holder.innerHTML = html;
  putBack(holder, films);
  if (focus) (holder.querySelector(focus) ?? $('#news')).focus({ preventScroll: true });
}

function showSearch(answer) {
  shown = answer;
  document.body.classList.remove('starting');
  document.title = `${answer.query?.name ?? 'labels'} · ${about.title}`;
  place('#player', answer.player);
  place('#also', answer.also);
  place('#cards', answer.cards);
  showTrim(answer.query);
  showShows(answer);
  $('#list').hidden = !answer.list;
  if (answer.list) $('#list').href = `preview/${answer.list}`;
  place('#labels', answer.panel);
  place('#strip', answer.strip);
  showMarks();
  $('#news').textContent = answer.news;
  if (document.activeElement === document.body && lastStep.at) $('#news').focus({ preventScroll: true });
}

async function showStart(signal) {
  const [shelf, labels] = await Promise.all([call('shelf', { fields: { first: 0 }, signal }), call('labels', { signal })]);
  shown = { hits: [], query: null };
  document.body.classList.add('starting');
  document.title = `${about.title} · rspnet`;
  for (const id of ['#player', '#also', '#strip']) place(id, '');
  showTrim(null);
  place('#labels', labels.panel);
  $('#list').hidden = true;
  $('#shows').hidden = true;
  $('#cards').innerHTML = '<ol class="shelf"></ol><button type="button" data-do="further" hidden>Show more</button>';
  showShelf(shelf);
}

function showShelf({ cards, next }) {
  $('.shelf').insertAdjacentHTML('beforeend', cards);
  const more = $('[data-do=further]');
  more.hidden = next === null;
  more.dataset.first = next;
  $('#news').textContent = `Choose a video to search with, or drop in a clip. ${$('.shelf').children.length} of ${about.names.length} shown`;
}

const seconds = (value) => (value < 60 ? `${value.toFixed(1)} s` : `${Math.floor(value / 60)}:${(value % 60).toFixed(1).padStart(4, '0')}`);

function showTrim(query) {
  $('#trim').hidden = !query;
  if (!query) return;
  const last = Math.ceil(query.duration * 10) / 10;
  const moves = timer || $('.frames:active');
  for (const [id, value] of [['#from', query.start], ['#to', query.end]]) {
    $(id).max = last;
    if (!moves) $(id).value = value;
  }
  const source = `preview/${query.frames}`;
  if ($('#frames').getAttribute('src') !== source) {
    // A picture shows its former one until the next is there; a new one is empty.
    $('#frames').replaceWith(Object.assign(new Image(), { id: 'frames', alt: '', src: source }));
  }
  $('#only').textContent = `Only this part is searched with, at most ${about.longestQuery} s. Drag its ends; click or drag the strip to move it (Page Up, Page Down).`;
  showPart();
}

const partNow = () => [Number($('#from').value), Number($('#to').value)];

function showPart() {
  const [from, to] = [$('#from'), $('#to')];
  const share = (value) => (100 * value) / from.max;
  $('#off-left').style.width = `${share(from.value)}%`;
  $('#off-right').style.width = `${100 - share(to.value)}%`;
  $('#only').hidden = to.value - from.value >= from.max;
  $('#part').textContent = `${seconds(Number(from.value))} to ${seconds(Number(to.value))} of ${seconds(Number(from.max))}`;
  for (const end of [from, to]) end.setAttribute('aria-valuetext', seconds(Number(end.value)));
}

function showShows({ shows, query }) {
  const holder = $('#shows div');
  const choices = [...(query ? [['', 'like the query']] : []), ...shows];
  const inside = holder.contains(document.activeElement);
  $('#shows').hidden = shows.length === 0;
  holder.replaceChildren(...choices.map(([value, text]) => {
    const label = document.createElement('label');
    const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'show', value, checked: value === go.at('show') });
    label.append(input, text);
    return label;
  }));
  if (inside) holder.querySelector('input:checked')?.focus({ preventScroll: true });
}

function showControls() {
  const defaults = { mix: about.mix, folder: '', min: '', max: '', n: 12, space: 'both', colour: about.colours[0], method: about.methods[0] };
  for (const [name, usual] of Object.entries(defaults)) $(`#${name}`).value = address.get(name) ?? usual;
  $('#own').checked = address.get('own') === '1';
  $('#pick').value = about.names.includes(go.at('q')) ? go.at('q') : '';
  showMix();
  const isMap = address.get('view') === 'map';
  $('#map').hidden = !isMap;
  $('.answers').classList.toggle('with-map', isMap);
  $('#map-button').setAttribute('aria-pressed', isMap);
  $('#mixing').hidden = !address.has('q') || address.has('show');
}

function showMix() {
  const value = Number($('#mix').value);
  const words = { 0: 'looks alike only', 0.5: 'both count alike', 1: 'moves alike only' };
  $('#mix').setAttribute('aria-valuetext', words[value] ?? `${Math.round(100 * value)} % moves alike`);
  for (const button of document.querySelectorAll('[data-mix]')) button.setAttribute('aria-pressed', Number(button.dataset.mix) === value);
}

async function showMap(signal) {
  const fields = Object.fromEntries(['space', 'colour', 'method'].map((name) => [name, $(`#${name}`).value]));
  const slow = setTimeout(() => {
    $('#plot').insertAdjacentHTML('afterbegin', '<p role="status">Drawing the map...</p>');
  }, SLOW_MS);
  const answer = await call('map', { fields, signal }).finally(() => {
    clearTimeout(slow);
    $('#plot [role=status]')?.remove();
  });
  const inMap = $('#plot').contains(document.activeElement);
  drawMap($('#plot'), answer, { query: shown.query?.name, hits: shown.hits, pick: (name) => ask(name) });
  if (inMap) $('#plot [tabindex="0"]')?.focus({ preventScroll: true });
}

// Fills the choices that depend on the library.
function meet(facts) {
  $('#title').textContent = facts.title;
  $('#facts').textContent = facts.facts;
  $('#both').dataset.mix = facts.mix;
  $('#file').accept = facts.suffixes.join();
  const option = (value) => Object.assign(document.createElement('option'), { value, textContent: value });
  $('#names').replaceChildren(...facts.names.map((value) => Object.assign(document.createElement('option'), { value })));
  $('#folder').append(...facts.folders.map(option));
  $('#colour').replaceChildren(...facts.colours.map(option));
  $('#method').replaceChildren(...facts.methods.map(option));
  for (const id of ['#colour', '#method']) $(id).parentElement.hidden = $(id).options.length < 2;
  return facts;
}

// --- what is done

const partOf = (hit) => ({ from: hit.dataset.start, to: hit.dataset.end });
const written = (hit) => `${hit.dataset.name}@${hit.dataset.start}-${hit.dataset.end}`;

async function explain(button, hit) {
  button.setAttribute('aria-busy', 'true');
  await attempt(async () => {
    const { html } = await call('why', { fields: { index: hit.dataset.index, key: hit.dataset.key } });
    $('#why div').innerHTML = html;
    $('#why').showModal();
  });
  button.removeAttribute('aria-busy');
}

async function copy(button, hit) {
  await navigator.clipboard.writeText(hit.dataset.path).then(
    () => { button.textContent = 'Copied'; $('#news').textContent = `Copied: ${hit.dataset.path}`; },
    () => { window.prompt('The path:', hit.dataset.path); },
  );
}

function another(kind, hit) {
  if (kind === 'like' && !address.has('q')) ask(hit.dataset.name, partOf(hit));
  else if (!address.has('q')) tell('choose what to search for first');
  else go({ [kind]: [...address.getAll(kind), written(hit)], show: null });
}

function leave(index) {
  const [like, unlike] = [address.getAll('like'), address.getAll('unlike')];
  const [list, place_] = index < like.length ? [like, index] : [unlike, index - like.length];
  list.splice(place_, 1);
  go({ like, unlike });
}

const searchPart = () => go({ from: $('#from').value, to: $('#to').value, show: null }, { moving: 'part' });

// Moves the whole part, which keeps its length.
function movePart(start) {
  const [from, to] = partNow();
  const first = startIn(start, to - from, $('#from').max);
  $('#from').value = first.toFixed(1);
  $('#to').value = (first + to - from).toFixed(1);
  showPart();
}

const actions = {
  explain,
  copy,
  use: (_button, hit) => ask(hit.dataset.name, partOf(hit)),
  like: (_button, hit) => another('like', hit),
  unlike: (_button, hit) => another('unlike', hit),
  leave: (button) => leave(Number(button.dataset.index)),
  open: (button) => ask(button.dataset.name),
  further: (button) => attempt(async () => {
    const old = $('.shelf').children.length;
    showShelf(await call('shelf', { fields: { first: button.dataset.first } }));
    $('.shelf').children[old]?.firstElementChild.focus();
  }),
  seek: (button) => go({ from: button.dataset.start, to: button.dataset.end, show: null }),
  train: () => step('train'),
  retract: () => step('undo'),
  mark: (button, hit) => {
    const key = (hit ?? button.closest('.query')).dataset.key;
    step('mark', { index: hit ? Number(hit.dataset.index) : null, label: Number(button.dataset.label), key });
  },
};

document.addEventListener('click', ({ target }) => {
  const button = target.closest('[data-do], [data-mix], #map-button');
  if (!button) return;
  if (button.id === 'map-button') go({ view: address.get('view') === 'map' ? null : 'map' });
  else if (button.dataset.mix) go({ mix: button.dataset.mix });
  else actions[button.dataset.do]?.(button, button.closest('.hit'));
});

for (const name of ['folder', 'min', 'max', 'n', 'space', 'colour', 'method']) {
  $(`#${name}`).addEventListener('change', ({ target }) => go({ [name]: target.value }));
}
$('#own').addEventListener('change', ({ target }) => go({ own: target.checked ? '1' : null }));
$('#shows').addEventListener('change', ({ target }) => go({ show: target.value }));
$('#mix').addEventListener('input', ({ target }) => {
  showMix();
  go({ mix: target.value }, { moving: 'mix' });
});
$('#pick').addEventListener('change', ({ target }) => {
  if (about.names.includes(target.value)) ask(target.value);
  else if (target.value) tell(`the library has no video ${target.value}`);
});
for (const id of ['from', 'to']) {
  $(`#${id}`).addEventListener('input', () => {
    const [from, to] = partNow();
    const least = id === 'from' ? Math.max(0, to - about.longestQuery) : from + SHORTEST;
    const most = id === 'from' ? to - SHORTEST : from + about.longestQuery;
    $(`#${id}`).value = Math.min(Math.max(id === 'from' ? from : to, least), most).toFixed(1);
    showPart();
  });
  $(`#${id}`).addEventListener('change', searchPart);
}
$('.frames').addEventListener('keydown', (event) => {
  const [from, to] = partNow();
  const start = { PageUp: to, PageDown: from - (to - from) }[event.key];
  if (start === undefined) return;
  event.preventDefault();
  movePart(start);
  searchPart();
});
$('.frames').addEventListener('pointerdown', (event) => {
  const frames = event.currentTarget;
  if (event.button !== 0 || event.target !== frames && !event.target.matches('.off')) return;
  const [from, to] = partNow();
  const timeOf = ({ clientX }) => timeAt(frames, clientX, $('#from').max);
  const at = timeOf(event);
  const held = at > from && at < to ? at - from : (to - from) / 2;
  const move = (moved) => movePart(timeOf(moved) - held);
  frames.setPointerCapture(event.pointerId);
  frames.onpointermove = move;
  frames.onpointerup = () => { if (partNow().join() !== [from, to].join()) searchPart(); };
  frames.onpointercancel = () => showTrim(shown.query);
  frames.onlostpointercapture = () => Object.assign(frames, { onpointermove: null, onpointerup: null, onpointercancel: null });
  move(event);
});

document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || $('dialog[open]') || !$('#map').contains(event.target)) return;
  $('#map-button').focus();
  go({ view: null });
});
$('#why').addEventListener('close', () => { $('#why div').innerHTML = ''; });

// --- a clip that is dropped in

const zone = $('.drop');
const progress = (text) => { $('#sending').textContent = text; };

function take(file) {
  if (!file) return;
  if (file.size > about.uploadMB * 2 ** 20) tell(`${file.name} is larger than ${about.uploadMB} MB`);
  else send(file, progress, (ticket) => ask(`upload:${ticket}:${file.name}`));
}

$('#file').addEventListener('change', ({ target }) => {
  take(target.files[0]);
  target.value = '';
});
for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    zone.classList.toggle('over', kind === 'dragenter' || kind === 'dragover');
    if (kind === 'drop') take(event.dataTransfer.files[0]);
  });
}

window.addEventListener('popstate', () => {
  address = new URLSearchParams(location.search);
  run();
});
whenBack(run);
watchFilms();
watchLabels(place, go);
run();
