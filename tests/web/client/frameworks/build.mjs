/**
 * Build one page for each framework, with the framework's own compiler, in its development and its production build:
 *
 *     node build.mjs FOLDER
 *
 * writes FOLDER/react.development.js, FOLDER/react.production.js and so on. Each gives the page `show`, which renders these
 * elements and no others, and `define`, which loads `<breathing-room>`.
 */

import {readFile} from 'node:fs/promises';
import {transformAsync} from '@babel/core';
import solid from 'babel-preset-solid';
import {build} from 'esbuild';
import {compile as compileSvelte} from 'svelte/compiler';
import {compileScript, parse} from 'vue/compiler-sfc';

const HERE = import.meta.dirname;
const APPS = ['react.jsx', 'preact.jsx', 'vue.vue', 'svelte.svelte', 'solid.jsx', 'lit.js'];

/** An esbuild plugin that hands files to a framework's compiler. */
const compiler = (name, filter, compile) => ({
  name,
  setup: ({onLoad}) => onLoad({filter}, async ({path}) => {
    const contents = await compile(await readFile(path, 'utf8'), path);
    return {contents, loader: 'js', resolveDir: HERE};
  }),
});

const plugins = (development) => [
  compiler('solid', /solid\.jsx$/, async (source, filename) => {
    const {code} = await transformAsync(source, {filename, presets: [solid], babelrc: false, configFile: false});
    return code;
  }),
  compiler('svelte', /\.svelte$/, (source, filename) =>
    compileSvelte(source, {filename, dev: development, generate: 'client'}).js.code),
  compiler('vue', /\.vue$/, (source, filename) => {
    // As Vue's plugins do, for the parser and for the compiler.
    const compilerOptions = {isCustomElement: (tag) => tag === 'breathing-room'};
    const {descriptor} = parse(source, {filename, templateParseOptions: compilerOptions});
    const options = {id: 'app', inlineTemplate: true, isProd: !development, templateOptions: {compilerOptions}};
    return compileScript(descriptor, options).content;
  }),
];

const page = (app) => `
  import {start} from './${app}';
  window.show = start(document.querySelector('main'));
  window.define = async () => void (await import('breathing-room/element'));
`;

await Promise.all(APPS.flatMap((app) => ['development', 'production'].map((mode) => build({
  stdin: {contents: page(app), resolveDir: HERE},
  outfile: `${process.argv[2]}/${app.split('.')[0]}.${mode}.js`,
  bundle: true,
  format: 'esm',
  jsx: 'automatic',
  jsxDev: mode === 'development',
  minify: mode === 'production',
  conditions: [mode],
  define: {
    'process.env.NODE_ENV': JSON.stringify(mode),
    __VUE_OPTIONS_API__: 'false',
    __VUE_PROD_DEVTOOLS__: 'false',
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false',
  },
  plugins: plugins(mode === 'development'),
  logLevel: 'warning',
}))));
