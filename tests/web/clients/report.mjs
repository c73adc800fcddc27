// Make a script's calls, print their outcomes as JSON.
const [script, address] = process.argv.slice(2);
const outcomes = {};
for (const [name, call] of Object.entries(await import(script))) {
  try {
    outcomes[name] = { returned: await call(address) };
  } catch (error) {
    const { status, statusCode, code, param, type, requestID } = error;
    const said = { status: status ?? statusCode, code, param, type, requestID, text: String(error) };
    outcomes[name] = { raised: { ...said, class: error.constructor.name }, traceback: error.stack };
  }
}
console.log(JSON.stringify(outcomes));
