// Films that play while the pointer is over them, go on after a click, and say what they wait for.

const touch = window.matchMedia('(hover: none)').matches;
const filmOf = (target) => target.closest?.('.film');

function show(video) {
  const { classList } = filmOf(video);
  classList.toggle('playing', !video.paused);
  classList.toggle('broken', video.error !== null);
  classList.toggle('ready', video.error !== null || video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA);
}

function hold(video, on) {
  if (on) video.dataset.held = '';
  else delete video.dataset.held;
  if (on) video.play().catch(() => {});
  else video.pause();
}

// The films of a place by what they show, to be put back after the place is filled anew: they stay loaded.
export function filmsOf(place) {
  return new Map([...place.querySelectorAll('.film')].map((film) => [film.firstElementChild.getAttribute('src'), film]));
}

export function putBack(place, films) {
  for (const film of place.querySelectorAll('.film')) {
    const old = films.get(film.firstElementChild.getAttribute('src'));
    if (!old) continue;
    films.delete(film.firstElementChild.getAttribute('src'));
    const video = old.firstElementChild;
    const plays = old.classList.contains('playing');
    video.setAttribute('aria-label', film.firstElementChild.getAttribute('aria-label'));
    film.replaceWith(old);
    if (plays) video.play().catch(() => {});
  }
}

export function watchFilms() {
  document.addEventListener('click', ({ target }) => {
    if (!target.matches('.film video')) return;
    const hovered = !touch && target.closest('.hit') !== null;
    hold(target, !('held' in target.dataset) && (target.paused || hovered));
  });
  document.addEventListener('keydown', (event) => {
    if ((event.key === 'Enter' || event.key === ' ') && event.target.matches('.film video')) {
      event.preventDefault();
      event.target.click();
    }
  });
  for (const kind of ['loadeddata', 'play', 'pause', 'error', 'emptied']) {
    // These do not bubble, so they are caught on the way down.
    document.addEventListener(kind, ({ target }) => { if (target.matches?.('.film video')) show(target); }, true);
  }
  if (touch) return;
  document.addEventListener('pointerover', ({ target }) => {
    target.closest('.hit .film')?.querySelector('video').play().catch(() => {});
  });
  document.addEventListener('pointerout', (event) => {
    const film = event.target.closest('.hit .film');
    const video = film?.querySelector('video');
    if (video && !('held' in video.dataset) && !film.contains(event.relatedTarget)) video.pause();
  });
}
