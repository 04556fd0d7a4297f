// What every client of this folder asks; put before each script.
const model = process.env.SLUICE_MODEL;
const prompt = "Tell me a story.";
const tooLong = "word ".repeat(40000);
const messages = [{ role: "user", content: prompt }];
const schema = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Rome"] }, days: { type: "integer", minimum: 1, maximum: 7 } },
  required: ["city", "days"],
  additionalProperties: false,
};
const told = {};

async function refused(asked) {
  const told = (error) => ({ kind: error.constructor.name, status: error.status ?? error.statusCode ?? error.status_code, code: error.code, message: error.message });
  return asked.then(() => null, told);
}
