// Runs once for every part of the page that has buttons or films; `element` and `trigger` come from Gradio.
const actions = ['explain', 'use', 'like', 'unlike', 'leave', 'close', 'pick', 'mark', 'seek', 'train', 'retract'];
// and 'dropped', 'newclass', 'imported'
const touch = window.matchMedia('(hover: none)').matches;

element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (button && actions.includes(button.dataset.do)) {
    const number = (name) => (name in button.dataset ? Number(button.dataset[name]) : null);
    const key = button.closest('[data-key]')?.dataset.key ?? null;
    trigger(button.dataset.do, {
      index: number('index'), label: number('label'), start: number('start'), end: number('end'), key,
    });
    return;
  }
  const bar = event.target.closest('[data-time]');
  if (bar) {
    const { length, duration } = bar.closest('.strip').dataset;
    const box = bar.getBoundingClientRect();
    const middle = (duration * (event.clientX - box.left)) / box.width;
    const start = Math.max(0, Math.min(middle - length / 2, duration - length));
    trigger('seek', { start, end: start + Number(length) });
    return;
  }
  const video = event.target.closest('.film video');
  if (video) hold(video, !('held' in video.dataset) && (video.paused || hovers(video)));
});

// A film that only plays while the pointer is over it goes on after a click, until the next one.
function hold(video, on) {
  if (on) video.dataset.held = '';
  else delete video.dataset.held;
  if (on) video.play().catch(() => {});
  else video.pause();
}

function hovers(video) {
  return !touch && video.closest('.hit') !== null;
}

element.addEventListener('keydown', (event) => {
  if ((event.key === 'Enter' || event.key === ' ') && event.target.matches('.film video')) {
    event.preventDefault();
    event.target.click();
  }
});

if (!touch) {
  element.addEventListener('pointerover', (event) => {
    const video = event.target.closest('.hit .film')?.querySelector('video');
    if (video) video.play().catch(() => {});
  });
  element.addEventListener('pointerout', (event) => {
    const film = event.target.closest('.hit .film');
    const video = film?.querySelector('video');
    if (video && !('held' in video.dataset) && !film.contains(event.relatedTarget)) video.pause();
  });
}

// What a film says of itself, told from the film: Gradio may give a new class to the place around an old one.
function showFilm(video) {
  const { classList } = video.closest('.film');
  classList.toggle('playing', !video.paused);
  classList.toggle('broken', video.error !== null);
  classList.toggle('ready', video.error !== null || video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA);
}

const showFilms = () => element.querySelectorAll('.film video').forEach(showFilm);
for (const kind of ['loadeddata', 'play', 'pause', 'error', 'emptied']) {
  // These do not bubble, so they are caught on the way down.
  element.addEventListener(kind, (event) => {
    if (event.target.matches?.('.film video')) showFilm(event.target);
  }, true);
}
watch('value', showFilms);

// --- labels

// What the panel says of every card becomes its buttons: a key's number, and the name where the class holds.
function showMarks() {
  const panel = document.querySelector('#classes .classes');
  if (!panel) return;
  const state = JSON.parse(panel.dataset.state);
  const places = [...document.querySelectorAll('.hit')].map((hit, index) => [hit, state.cards[index], index]);
  places.push([document.querySelector('.query'), state.query, null]);
  for (const [place, marks, index] of places) {
    const holder = place?.querySelector('.mark');
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
      button.setAttribute('aria-label', on ? `${name}: take back` : `mark as ${name}`);
    });
  }
}

if (!window.rspnetKeys) {
  window.rspnetKeys = true;
  const typed = 'input:not([type=range]):not([type=radio]):not([type=checkbox]), textarea, select';
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches(typed)) return;
    const own = event.target.closest('.hit, .query');
    const place = own ?? document.querySelector('.hit:hover, .query:hover');
    if (/^[1-9]$/.test(event.key) && place) {
      place.querySelector(`[data-do=mark][data-label="${event.key - 1}"]`)?.click();
      own?.nextElementSibling?.querySelector('.film video')?.focus();
    } else if (event.key === 'u' || event.key === 't') {
      document.querySelector(`#classes [data-do=${event.key === 'u' ? 'retract' : 'train'}]`)?.click();
    } else if (own && (event.key === 'ArrowRight' || event.key === 'ArrowLeft')) {
      const next = event.key === 'ArrowRight' ? own.nextElementSibling : own.previousElementSibling;
      next?.querySelector('.film video')?.focus();
      event.preventDefault();
    }
  });
}

element.addEventListener('submit', (event) => {
  event.preventDefault();
  const input = event.target.querySelector('input');
  trigger('newclass', { name: input.value });
  input.value = '';
});

element.addEventListener('change', (event) => {
  if (!event.target.matches('.files input[type=file]')) return;
  const file = event.target.files[0];
  const tell = (text) => { element.querySelector('[role=status]').textContent = text; };
  if (file) post(file, (ticket) => trigger('imported', { ticket, name: file.name }), tell);
});

showMarks();
watch('value', showMarks);

// A new explanation or notice comes into view, also for who does not see it appear.
watch('value', () => {
  const news = element.querySelector('.why, .notice');
  if (!news) return;
  news.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  news.focus({ preventScroll: true });
});

function post(file, done, tell) {
  const request = new XMLHttpRequest();
  request.open('POST', `upload?name=${encodeURIComponent(file.name)}`);
  request.upload.onprogress = (event) => tell(`sending, ${Math.round((100 * event.loaded) / event.total)} %`, false);
  request.onerror = () => tell('the server cannot be reached', true);
  request.onload = () => (request.status === 200 ? done(request.responseText) : tell(request.responseText, true));
  request.send(file);
}

const zone = element.querySelector('.drop');
if (zone) {
  const input = zone.querySelector('input');
  const state = zone.querySelector('[role=status]');
  const idle = state.textContent;
  const tell = (text, wrong) => {
    state.textContent = text;
    zone.classList.toggle('wrong', Boolean(wrong));
  };

  const send = (file) => {
    if (!file) return;
    if (file.size > input.dataset.limit * 2 ** 20) {
      tell(`${file.name} is larger than ${input.dataset.limit} MB`, true);
      return;
    }
    post(file, (ticket) => {
      tell(idle);
      trigger('dropped', { ticket, name: file.name });
    }, tell);
  };

  input.addEventListener('change', () => {
    send(input.files[0]);
    input.value = '';
  });
  for (const kind of ['dragenter', 'dragover']) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.add('over');
    });
  }
  zone.addEventListener('dragleave', () => zone.classList.remove('over'));
  zone.addEventListener('drop', (event) => {
    event.preventDefault();
    zone.classList.remove('over');
    send(event.dataTransfer.files[0]);
  });
}
