// TeX's names for characters, by what MathML makes of them.

const table = (text) => new Map(text.trim().split(/\s+/).map((pair) => pair.split('=')));

/** Letters: <mi>. */
export const LETTERS = table(`
alpha=α beta=β gamma=γ delta=δ epsilon=ϵ varepsilon=ε zeta=ζ eta=η theta=θ vartheta=ϑ iota=ι kappa=κ lambda=λ mu=μ nu=ν xi=ξ
omicron=ο pi=π varpi=ϖ rho=ρ varrho=ϱ sigma=σ varsigma=ς tau=τ upsilon=υ phi=ϕ varphi=φ chi=χ psi=ψ omega=ω
Gamma=Γ Delta=Δ Theta=Θ Lambda=Λ Xi=Ξ Pi=Π Sigma=Σ Upsilon=Υ Phi=Φ Psi=Ψ Omega=Ω
infty=∞ partial=∂ nabla=∇ ell=ℓ hbar=ℏ Re=ℜ Im=ℑ aleph=ℵ emptyset=∅ varnothing=∅ imath=ı jmath=ȷ wp=℘ top=⊤ bot=⊥ angle=∠
ldots=… dots=… cdots=⋯ vdots=⋮ ddots=⋱ degree=° triangle=△ square=□ blacksquare=■ prime=′
`);

/** Operators and relations: <mo>. */
export const OPERATORS = table(`
times=× cdot=⋅ div=÷ pm=± mp=∓ ast=∗ star=⋆ circ=∘ bullet=∙ oplus=⊕ ominus=⊖ otimes=⊗ odot=⊙ cup=∪ cap=∩ setminus=∖ wedge=∧
land=∧ vee=∨ lor=∨ neg=¬ lnot=¬ forall=∀ exists=∃ nexists=∄ leq=≤ le=≤ geq=≥ ge=≥ neq=≠ ne=≠ ll=≪ gg=≫ approx=≈ equiv=≡ cong=≅
sim=∼ simeq=≃ propto=∝ in=∈ notin=∉ ni=∋ subset=⊂ supset=⊃ subseteq=⊆ supseteq=⊇ subsetneq=⊊ perp=⊥ parallel=∥ mid=∣ nmid=∤
to=→ rightarrow=→ leftarrow=← gets=← leftrightarrow=↔ Rightarrow=⇒ implies=⟹ Leftarrow=⇐ Leftrightarrow=⇔ iff=⟺ mapsto=↦
longrightarrow=⟶ uparrow=↑ downarrow=↓ hookrightarrow=↪ rightharpoonup=⇀ therefore=∴ because=∵ vdash=⊢ models=⊨ colon=: prec=≺ succ=≻
asymp=≍ doteq=≐ triangleq=≜ langle=⟨ rangle=⟩ lfloor=⌊ rfloor=⌋ lceil=⌈ rceil=⌉ lvert=| rvert=| lVert=‖ rVert=‖ Vert=‖ vert=|
lbrace={ rbrace=} backslash=\\ dagger=† amalg=⨿ preceq=⪯ succeq=⪰ lesssim=≲ gtrsim=≳ nleq=≰ ngeq=≱
`);

/** Large operators, whose limits stand above and below in display; integrals' stand beside. */
export const LARGE = table('sum=∑ prod=∏ coprod=∐ bigcup=⋃ bigcap=⋂ bigoplus=⨁ bigotimes=⨂ bigvee=⋁ bigwedge=⋀ bigsqcup=⨆');
export const INTEGRALS = table('int=∫ iint=∬ iiint=∭ oint=∮');

/** Upright names; those of the second set have limits below in display. */
export const FUNCTIONS = new Set('sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log ln lg exp deg dim hom ker arg'.split(' '));
export const LIMITS = new Set('lim limsup liminf max min sup inf det gcd Pr argmax argmin'.split(' '));

/** Marks above or below their argument. */
export const ACCENTS = table('hat=^ widehat=^ bar=¯ overline=¯ vec=→ overrightarrow=→ tilde=~ widetilde=~ dot=˙ ddot=¨ check=ˇ breve=˘ acute=´ grave=` overbrace=⏞');
export const UNDER_ACCENTS = table('underline=_ underbrace=⏟');

/** Widths in em. */
export const SPACES = new Map([[',', 0.17], [':', 0.22], [';', 0.28], [' ', 0.25], ['!', -0.17], ['quad', 1], ['qquad', 2], ['enspace', 0.5], ['thinspace', 0.17]]);

/** Environments: the brackets around their rows and the columns' alignment. */
export const ENVIRONMENTS = new Map(
  Object.entries({
    matrix: ['', ''], pmatrix: ['(', ')'], bmatrix: ['[', ']'], Bmatrix: ['{', '}'], vmatrix: ['|', '|'], Vmatrix: ['‖', '‖'],
    smallmatrix: ['', ''], array: ['', ''], cases: ['{', ''], aligned: ['', ''], align: ['', ''], 'align*': ['', ''], alignat: ['', ''],
    split: ['', ''], gathered: ['', ''], gather: ['', ''], 'gather*': ['', ''], equation: ['', ''], 'equation*': ['', ''],
  }),
);

// Mathematical alphabets of Unicode (block 1D400): where A and a begin, and the letters that stand elsewhere.
const ALPHABETS = {
  mathbb: [0x1d538, 0x1d552, 'CℂHℍNℕPℙQℚRℝZℤ', 0x1d7d8],
  mathbf: [0x1d400, 0x1d41a, '', 0x1d7ce],
  boldsymbol: [0x1d468, 0x1d482, '', 0x1d7ce],
  mathcal: [0x1d49c, 0x1d4b6, 'BℬEℰFℱHℋIℐLℒMℳRℛeℯgℊoℴ', 0],
  mathscr: [0x1d49c, 0x1d4b6, 'BℬEℰFℱHℋIℐLℒMℳRℛeℯgℊoℴ', 0],
  mathfrak: [0x1d504, 0x1d51e, 'CℭHℌIℑRℜZℨ', 0],
  mathsf: [0x1d5a0, 0x1d5ba, '', 0x1d7e2],
  mathtt: [0x1d670, 0x1d68a, '', 0x1d7f6],
};
export const isAlphabet = (name) => Object.hasOwn(ALPHABETS, name);

/** The characters of `text` in one of these alphabets. */
export function inAlphabet(name, text) {
  const [upper, lower, exceptions, digits] = ALPHABETS[name];
  return Array.from(text, (c) => {
    const at = Array.from(exceptions).indexOf(c);
    if (at >= 0 && at % 2 === 0) return Array.from(exceptions)[at + 1];
    if (/[A-Z]/.test(c)) return String.fromCodePoint(upper + c.charCodeAt(0) - 65);
    if (/[a-z]/.test(c)) return String.fromCodePoint(lower + c.charCodeAt(0) - 97);
    if (/[0-9]/.test(c) && digits) return String.fromCodePoint(digits + c.charCodeAt(0) - 48);
    return c;
  }).join('');
}
