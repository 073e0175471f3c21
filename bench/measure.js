// Measures one benchmark and sends what came of it to run.js: NAME PEERS_PYTHON.
const [name, python] = process.argv.slice(2)
const { measure } = await import(`./${name}.js`)
process.send(await measure({ python }))
process.disconnect()
