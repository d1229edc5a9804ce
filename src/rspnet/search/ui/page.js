// Runs once for every part of the page that has buttons or films; `element` and `trigger` come from Gradio.
const actions = ['explain', 'use', 'close', 'pick']; // and 'dropped'
const touch = window.matchMedia('(hover: none)').matches;

element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (button && actions.includes(button.dataset.do)) {
    trigger(button.dataset.do, { index: Number(button.dataset.index) });
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

for (const kind of ['loadeddata', 'play', 'pause', 'error']) {
  // These do not bubble, so they are caught on the way down.
  element.addEventListener(kind, (event) => {
    const film = event.target.closest?.('.film');
    if (!film) return;
    film.classList.toggle('playing', kind === 'play');
    film.classList.toggle('broken', kind === 'error');
    film.classList.add('ready');
  }, true);
}

// A new explanation or notice comes into view, also for who does not see it appear.
watch('value', () => {
  const news = element.querySelector('.why, .notice');
  if (!news) return;
  news.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  news.focus({ preventScroll: true });
});

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
    const request = new XMLHttpRequest();
    request.open('POST', `upload?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = (event) => tell(`sending, ${Math.round((100 * event.loaded) / event.total)} %`);
    request.onerror = () => tell('the server cannot be reached', true);
    request.onload = () => {
      if (request.status !== 200) {
        tell(request.responseText, true);
        return;
      }
      tell(idle);
      trigger('dropped', { ticket: request.responseText, name: file.name });
    };
    request.send(file);
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
