// What every driver for Node asks its client; the same as driving.py, where it is explained.
const EASY = "What is the capital of France?";
const HARD = "Find the eigenvalues of the matrix [[2,1],[1,2]] and solve the integral of x^2 e^x.";
const WEATHER = "What is the weather in Paris and in London?";
const HARD_WEATHER = `${HARD} ${WEATHER}`;
const CITY = "Name a city and its country.";
const REFUSED = "Please refuse this.";
const CUT = "Please break off in the middle.";

const called = [];

export function weatherIn(city) {
  called.push(city);
  return `${city}: ${city === "London" ? "rain" : "sun"}`;
}

function classes(error) {
  const names = [];
  for (let kind = Object.getPrototypeOf(error); kind; kind = Object.getPrototypeOf(kind)) names.push(kind.constructor.name);
  return [error.name, ...names];
}

async function failure(ask) {
  try {
    return { kinds: [], answer: await ask() };
  } catch (error) {
    return { kinds: classes(error), status: error.status ?? error.statusCode ?? null, text: String(error).slice(0, 300) };
  }
}

export async function main(ways) {
  const results = {};
  for (const [name, way] of Object.entries(ways)) {
    called.length = 0;
    results[name] = {
      plain: await way.ask(EASY),
      difficult: await way.ask(HARD),
      stream: await way.stream(EASY),
      tools: await way.tools(WEATHER),
      tools_difficult: await way.tools(HARD_WEATHER),
      called: [...called].sort(),
      structured: await way.structured(CITY),
      refused: await failure(() => way.ask(REFUSED)),
      cut: await failure(() => way.stream(CUT)),
      unknown: await failure(() => way.ask(EASY, "gpt-4")),
    };
  }
  // The last line; the snippet printed before it.
  console.log(`\n${JSON.stringify(results)}`);
}
