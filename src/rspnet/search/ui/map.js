// The map of the library: points and, where there is room, pictures; the hits are ringed, the query is named.

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 720;
const HEIGHT = 480;
const EDGE = 34;
const WIDE = 52;
const HIGH = 39;

function make(kind, attributes, parent) {
  const element = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent?.append(element);
  return element;
}

const places = (points) => points.map(([x, y]) => [EDGE + x * (WIDTH - 2 * EDGE), EDGE + (1 - y) * (HEIGHT - 2 * EDGE)]);

// Of pictures that would lie on one another the first one shows: the query's, the hits', then any.
function withPictures(points, at, first) {
  const shown = new Set();
  const order = points.map((_, index) => index).sort((a, b) => first(points[b][2]) - first(points[a][2]) || a - b);
  for (const index of order) {
    const [x, y] = at[index];
    if (![...shown].some((other) => Math.abs(at[other][0] - x) < WIDE && Math.abs(at[other][1] - y) < HIGH)) shown.add(index);
  }
  return shown;
}

export function drawMap(plot, { points, groups, note }, { query, hits, pick }) {
  const rank = (name) => (name === query ? 2 : Number(hits.includes(name)));
  const at = places(points);
  const pictures = withPictures(points, at, rank);
  const svg = make('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'group', 'aria-label': `videos: ${points.length}; arrows go from one to the next, Enter searches` });
  const order = [...points.keys()].sort((a, b) => pictures.has(a) - pictures.has(b) || rank(points[a][2]) - rank(points[b][2]));
  const nodes = new Map();
  for (const index of order) {
    const [, , name, group, poster] = points[index];
    const [x, y] = at[index];
    const place = hits.indexOf(name);
    const meaning = name === query ? ', the query' : place >= 0 ? `, hit ${place + 1}` : '';
    const node = make('g', { class: ['', 'is-hit', 'is-query'][rank(name)], transform: `translate(${x} ${y})`, role: 'button', tabindex: -1, 'aria-label': name + meaning }, svg);
    const colour = groups[group]?.[1] ?? '#888';
    if (pictures.has(index)) {
      make('image', { href: `preview/${poster}`, x: -WIDE / 2, y: -HIGH / 2, width: WIDE, height: HIGH, preserveAspectRatio: 'xMidYMid slice' }, node);
      make('rect', { x: -WIDE / 2, y: -HIGH / 2, width: WIDE, height: HIGH, rx: 3, stroke: colour }, node);
    } else {
      make('circle', { r: 6, fill: colour, stroke: colour }, node);
    }
    make('title', {}, node).textContent = name + meaning;
    if (meaning) {
      const mark = make('text', { y: pictures.has(index) ? HIGH / 2 - 4 : -9, x: pictures.has(index) ? -WIDE / 2 + 4 : 0 }, node);
      mark.textContent = name === query ? 'query' : place + 1;
    }
    node.dataset.name = name;
    node.dataset.poster = poster;
    node.addEventListener('click', () => pick(name));
    nodes.set(index, node);
  }
  reachable(svg, points, at, nodes, rank, pick);
  const figure = document.createElement('figure');
  figure.className = 'map';
  figure.append(svg, legend(groups, note), glance(svg));
  plot.replaceChildren(figure);
}

// One point at a time is in the order of Tab; arrows go to the nearest in their direction.
function reachable(svg, points, at, nodes, rank, pick) {
  let current = [...points.keys()].sort((a, b) => rank(points[b][2]) - rank(points[a][2]))[0];
  nodes.get(current)?.setAttribute('tabindex', 0);
  const directions = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  svg.addEventListener('focusin', ({ target }) => {
    const found = [...nodes].find(([, node]) => node === target.closest('g'));
    if (!found) return;
    nodes.get(current).setAttribute('tabindex', -1);
    [current] = found;
    nodes.get(current).setAttribute('tabindex', 0);
  });
  svg.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' || event.key === ' ') pick(points[current][2]);
    const step = directions[event.key];
    if (!step && event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    event.stopPropagation();
    if (!step) return;
    const [x, y] = at[current];
    let best = null;
    let least = Infinity;
    at.forEach(([there, below], index) => {
      const along = (there - x) * step[0] + (below - y) * step[1];
      const aside = Math.abs((there - x) * step[1] + (below - y) * step[0]);
      if (index !== current && along > 0 && along + 2 * aside < least) [best, least] = [index, along + 2 * aside];
    });
    if (best !== null) nodes.get(best).focus();
  });
}

function legend(groups, note) {
  const caption = document.createElement('figcaption');
  const list = document.createElement('ul');
  for (const [name, colour] of groups) {
    const item = document.createElement('li');
    const dot = document.createElement('i');
    dot.style.background = colour;
    item.append(dot, name);
    list.append(item);
  }
  const words = document.createElement('p');
  words.textContent = note;
  caption.append(list, words);
  return caption;
}

// A larger picture of the point under the pointer, or in focus.
function glance(svg) {
  const card = document.createElement('div');
  card.className = 'glance';
  card.setAttribute('aria-hidden', 'true');
  const picture = document.createElement('img');
  picture.alt = '';
  const name = document.createElement('span');
  card.append(picture, name);
  const show = ({ target }) => {
    const node = target.closest('g[data-name]');
    card.classList.toggle('on', node !== null);
    if (!node) return;
    picture.src = `preview/${node.dataset.poster}`;
    name.textContent = node.dataset.name;
  };
  for (const kind of ['pointerover', 'focusin']) svg.addEventListener(kind, show);
  svg.addEventListener('pointerleave', () => card.classList.remove('on'));
  return card;
}
