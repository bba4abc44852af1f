var e,t,n,r,i,a,o,s,c,l,u=Symbol.for(`pv`),d={},f=[],p=/^m(i|n|o|s|text|space)$/,m=Array.isArray,h=f.slice,g=Object.assign;function _(e){e&&e.parentNode&&e.remove()}function v(n,r,i,a,o){var s={type:n,props:r,key:i,ref:a,__k:null,__:null,__b:0,__e:null,__c:null,constructor:u,__v:o||++t,__i:-1,__u:0};return!o&&e.vnode&&e.vnode(s),s}function y(e){return e.children}function b(e,t){this.props=e,this.context=t,this.__g=0}function x(e,t){if(t==null)return e.__&&x(e.__,e.__i+1);for(var n;t<e.__k.length;t++)if((n=e.__k[t])&&n.__e)return n.__e;return typeof e.type!=`function`||e.props.__P?null:x(e)}function S(t){var n,r=t.__v,i=r.__e,a=[],o=[],s=t.__P;s&&((n=g({constructor:u},r)).__v=r.__v+1,e.vnode&&e.vnode(n),re(s,n,r,t.__n,s.namespaceURI,32&r.__u?[i]:null,a,i||x(r),32&r.__u,o),n.__v=r.__v,n.__.__k[n.__i]=n,A(a,n,o),r.__=r.__e=null,n.__e!=i&&C(n))}function C(e){if((e=e.__)&&e.__c&&!e.props.__P)return e.__e=null,e.__k.some(function(t){return t&&(e.__e=t.__e)}),C(e)}function w(t){(8&t.__g||(t.__g|=8,n.push(t),i++))&&r==e.debounceRendering||((r=e.debounceRendering)||queueMicrotask)(T)}function T(){try{for(var e,t=1;n.length;)n.length>t&&n.sort(a),e=n.shift(),t=n.length,8&e.__g&&S(e)}finally{(i=n.length)&&(r||queueMicrotask)(T)}}function ee(e,t,n,r,i,a,o,s,c,l,u){var p,m,h,g,_,v,y=r.__k||f,b=t.length;for(c=E(n,t,y,c,b),p=0;p<b;p++)(h=n.__k[p])!=null&&(m=~h.__i&&y[h.__i]||d,h.__i=p,v=re(e,h,m,i,a,o,s,c,l,u),g=h.__e,(m.ref!=h.ref||8&m.__u)&&(m.ref&&se(m.ref,null,h,m),h.ref&&u.push(h.ref,h.__c||g,h)),_||=g,4&h.__u?(c=D(h,c,e,!m.__v),m.__e&&(m.__e=null)):typeof h.type==`function`&&v!==void 0?c=v:g&&(c=g.nextSibling),h.__u&=-21);return n.__e=_,c}function E(e,t,n,r,i){var a,o,s,c,l,d,f,p,h,g=n.length,_=g,b=0,S=0,C=e.__k=Array(i);for(a=0;a<i;a++)(o=t[a])!=null&&typeof o!=`boolean`&&typeof o!=`function`?(typeof o!=`object`||o.constructor===String?o=C[a]=v(null,o):m(o)?o=C[a]=v(y,{children:o}):o.constructor===u&&o.__b?o=C[a]=v(o.type,o.props,o.key,o.ref,o.__v):C[a]=o,c=a+b,o.__=e,o.__b=e.__b+1,s=null,~(l=o.__i=te(o,n,c,_))&&(_--,(s=n[l])&&(s.__u|=2)),s&&s.__v?(o.__u|=16,l==c-1?b--:l==c+1?b++:l!=c&&(l>c?b--:b++,S=1)):(~l||(i>g?b--:i<g&&b++),typeof o.type!=`function`&&(o.__u|=4))):C[a]=null;if(S){for(d=[],f=[],a=0;a<i;a++)if((o=C[a])&&16&o.__u){for(b=0,p=d.length;b<p;)d[h=b+p>>1]<o.__i?b=h+1:p=h;d[b]=o.__i,f[a]=b+1}for(b=d.length;a--;)f[a]&&(f[a]==b?b--:C[a].__u|=4)}if(_)for(a=0;a<g;a++)!(s=n[a])||2&s.__u||(s.__e==r&&(r=x(s)),ce(s,s));return r}function D(e,t,n,r){var i,a,o,s;if(typeof e.type==`function`){if(e.props.__P)return t;if(i=e.__k)for(a=0;a<i.length;a++)i[a]&&(i[a].__=e,t=D(i[a],t,n,!1));return t}for(t&&!t.parentNode&&(t=x(e))&&!t.parentNode&&(t=null),o=e.__e,s=t;s&&s.nodeType==8;)s=s.nextSibling;for(o!=s&&(!r&&n.moveBefore&&o.parentNode?n.moveBefore(o,t):n.insertBefore(o,t||null)),t=o;(t&&=t.nextSibling)&&t.nodeType==8&&!t.data.startsWith(`$s`););return t}function te(e,t,n,r){var i,a=e.key,o=e.type,s=t[n],c=s&&!(2&s.__u);if(s===null&&a==null||c&&a==s.key&&o==s.type)return n;if(r>+!!c){for(i=n-1;i>=0;i--)if((s=t[i])&&!(2&s.__u)&&a==s.key&&o==s.type)return i;for(i=n+1;i<t.length;i++)if((s=t[i])&&!(2&s.__u)&&a==s.key&&o==s.type)return i}return-1}function O(e,t,n){n??=``,t[0]==`-`?e.setProperty(t,n):e[t]=n}function k(e,t,n,r,i){var a,o;if(t==`style`){if(typeof n==`string`)e.style.cssText=n;else{if(typeof r==`string`&&(e.style.cssText=r=``),r)for(t in r)n&&t in n||O(e.style,t);if(n)for(t in n)r&&n[t]==r[t]||O(e.style,t,n[t])}}else if(t[0]==`o`&&t[1]==`n`)typeof n!=`function`&&(n=null),typeof r!=`function`&&(r=null),(e.__e||={})[t]=n,n&&r||(o=l[t]||(l[t]=ne(t)),(e.__a||={})[t]=c,a=t!=(t=t.replace(s,`$1`)),(t=t.slice(2))[0]<`a`&&(t=t.toLowerCase()),n?e.addEventListener(t,o,a):e.removeEventListener(t,o,a));else{if(i==`http://www.w3.org/2000/svg`)t=t.replace(/xlink(H|:h)/,`h`).replace(/sName$/,`s`);else if(t!=`width`&&t!=`height`&&t!=`href`&&t!=`list`&&t!=`form`&&t!=`tabIndex`&&t!=`download`&&t!=`rowSpan`&&t!=`colSpan`&&t!=`role`&&t!=`popover`&&t in e)try{e[t]=n??``;return}catch{}if(typeof n==`function`)return;n==null||!1===n&&t[4]!=`-`?e.removeAttribute(t):e.setAttribute(t,t==`popover`&&n==1?``:n)}}function ne(t){return function(n){var r=this.__e;if(r){if(r=r[t],n[o]==null)n[o]=c++;else if(n[o]<this.__a[t])return;return r(e.event?e.event(n):n)}}}function re(t,n,r,i,a,o,s,c,l,d){var p,h,v,S,C,w,T,E,D,te,O,k,ne,re,A,se,j,M,N=n.type;if(n.constructor!==u)return null;128&r.__u&&(l=32&r.__u,p=r.__c.__z)&&(n.__u|=l,h=o=[],p.nodeType==8?c=ie(p,o):o.push(p),c=o[0]||c),(p=e.__b)&&p(n);n:if(typeof N==`function`){v=s.length;try{if(E=n.props,D=(p=N.prototype)&&p.render,te=(p=N.contextType)&&i[p.__c],O=p?te?te.props.value:p.__:i,(S=r.__c)?(n.__c=S,2&S.__g&&(S.__g|=1)):(D?n.__c=S=new N(E,O):(n.__c=S=new b(E,O),S.constructor=N,S.render=le),te&&te.sub(S),S.state||(S.state={}),S.__n=i,S.__g|=8,S.__h=[],S.__k=[]),D&&(S.__s||(S.__s=S.state),N.getDerivedStateFromProps&&(S.__s==S.state&&(S.__s=g({},S.__s)),g(S.__s,N.getDerivedStateFromProps(E,S.__s)))),C=S.props,w=S.state,S.__v=n,r.__c){if(E!==C&&D&&!N.getDerivedStateFromProps&&S.componentWillReceiveProps&&S.componentWillReceiveProps(E,O),n.__v==r.__v&&!(8&S.__g)||!(4&S.__g)&&S.shouldComponentUpdate&&!1===S.shouldComponentUpdate(E,S.__s,O)){n.__v!=r.__v&&(S.props=E,S.state=S.__s,S.__g&=-9),n.__e=r.__e,n.__k=r.__k,n.__k.some(function(e){e&&(e.__=n)}),f.push.apply(S.__h,S.__k),S.__k=[],S.__h.length&&s.push(S),c=x(r);break n}S.componentWillUpdate&&S.componentWillUpdate(E,S.__s,O),D&&S.componentDidUpdate&&S.__h.push(function(){S.componentDidUpdate(C,w,T)})}else D&&!N.getDerivedStateFromProps&&S.componentWillMount&&S.componentWillMount(),D&&S.componentDidMount&&S.__h.push(S.componentDidMount);S.context=O,S.props=E,S.__P=t,S.__g&=-5,k=e.__r,ne=D?25:0;do S.__g&=-9,k&&k(n),p=S.render(S.props,S.state=S.__s,S.context);while(8&S.__g&&++ne<25);D&&(f.push.apply(S.__h,S.__k),S.__k=[]),S.state=S.__s,S.getChildContext&&(i=g({},i,S.getChildContext())),D&&r.__c&&S.getSnapshotBeforeUpdate&&(T=S.getSnapshotBeforeUpdate(C,w)),re=p&&p.type===y&&p.key==null?p.props.children:p,E.__P&&(p=c,a=(t=E.__P).namespaceURI,l=o=null,r.props&&r.props.__P!=t&&(r.__k.some(function(e){e&&ce(e,e)}),r.__k=null),c=r.__k?x(r,0):null),c=ee(t,m(re)?re:[re],n,r,i,a,o,s,c,l,d),E.__P&&(n.__e=null,c=p),n.__u&=-161,h&&h.some(_),S.__h.length&&s.push(S),1&S.__g&&(S.__g&=-4)}catch(t){if(s.length=v,n.__v=null,l||o){if(t&&t.then){if(n.__u|=128|l,o){for(~(j=o.indexOf(c||void 0))||(j=o.length);(M=o[j-1])&&M.nodeType==8;)j--;for(;j<o.length;j++)if(M=o[j]){if(o[j]=null,A){if(M==se)break}else{if(M.nodeType!=8)break;M.data.startsWith(`$s`)&&(se=ie(A=M))}}}if(!A){for(;c&&c.nodeType==8&&c.nextSibling;)c=c.nextSibling;A=c}(p=ie(A=n.__c.__z||(n.__c.__z=A)))?(n.__e=A,c=p):n.__e=c,c&&=c.nextSibling}else o&&o.some(_)}else n.__e=r.__e;n.__k||=r.__k||[],t&&t.then||ae(n),e.__e(t,n,r)}}else c=n.__e=oe(r.__e,n,r,i,a,o,s,l,d,t);return(p=e.diffed)&&p(n),c}function ie(e,t){if(e&&e.nodeType==8&&e.data.startsWith(`$s`))for(var n=1;e=e.nextSibling;){if(e.nodeType==8){if(e.data.startsWith(`$s`))n++;else if(e.data.startsWith(`/$s`)&&!--n)return e}t&&t.push(e)}}function ae(e){e&&(e.__c&&(e.__c.__g|=4),e.__k&&e.__k.some(ae))}function A(t,n,r){for(var i=0;i<r.length;)se(r[i++],r[i++],r[i++]);e.__c&&e.__c(n,t),t.some(function(n){try{t=n.__h,n.__h=[],t.some(function(e){e.call(n)})}catch(t){e.__e(t,n.__v)}})}function oe(t,n,r,i,a,o,s,c,l,u){var f,g,v,y,b,S,C,w,T=r.props||d,E=n.props,D=n.type;if(D==`svg`?a=`http://www.w3.org/2000/svg`:D==`math`?a=`http://www.w3.org/1998/Math/MathML`:a||=`http://www.w3.org/1999/xhtml`,o){for(f=0;f<o.length;f++)if((b=o[f])&&(D?b.localName==D:b.nodeType==3)){t=b,o[f]=null;break}}if(!t){if(w=u.ownerDocument||document,!D)return w.createTextNode(E);t=w.createElementNS(a,D,E.is?E:u),c&&=(e.__m&&e.__m(n,o),!1),o=null}if(D){if(u=D==`template`&&t.content||t,o=D==`textarea`&&E.defaultValue!=null?null:o&&h.call(u.childNodes),!c&&o)for(T={},f=0;f<t.attributes.length;f++)T[(b=t.attributes[f]).name]=b.value;for(f in T)b=T[f],f==`dangerouslySetInnerHTML`?v=b:f==`children`||f in E||f==`value`&&`defaultValue`in E||f==`checked`&&`defaultChecked`in E||k(t,f,null,b,a);for(f in E)b=E[f],f==`children`?y=b:f==`dangerouslySetInnerHTML`?g=b:f==`value`?S=b:f==`checked`?C=b:c&&typeof b!=`function`||T[f]===b||k(t,f,b,T[f],a);g?(c||v&&(g.__html==v.__html||g.__html==t.innerHTML)||(t.innerHTML=g.__html),n.__k=[]):(v&&(t.textContent=``),(D==`foreignObject`||a==`http://www.w3.org/1998/Math/MathML`&&p.test(D))&&(a=`http://www.w3.org/1999/xhtml`),ee(u,m(y)?y:[y],n,r,i,a,o,s,o?o[0]:r.__k&&x(r,0),c,l),o&&o.some(_)),c&&D!=`textarea`||(f=`value`,D==`progress`&&S==null?t.removeAttribute(f):S==null||S===t[f]&&(D!=`progress`||S)||k(t,f,S,T[f],a),f=`checked`,C!=null&&C!=t[f]&&k(t,f,C,T[f],a))}else T===E||c&&t.data==E||(t.data=E);return t}function se(t,n,r,i){try{typeof t==`function`?n?n.__x=t(n)||1:(i&&=i.__c||i.__e)&&(n=i.__x)&&(i.__x=null,typeof n==`function`?n():t(null)):t.current=n}catch(t){e.__e(t,r)}}function ce(t,n,r){var i,a,o,s;if(e.unmount&&e.unmount(t),!(i=t.ref)||i.current&&i.current!=t.__e||se(i,null,n,t),i=t.__c){if(i.componentWillUnmount)try{i.componentWillUnmount()}catch(t){e.__e(t,n)}i.__P=i.__n=null}if(i=t.__k)for(s=0;s<i.length;s++)i[s]&&ce(i[s],n,typeof t.type!=`function`||r&&!t.props.__P);!r&&(i=t.__c)&&(i=i.__z)&&(a=ie(i,o=[]))&&(i==t.__e&&o.some(_),_(a),_(i)),r||_(t.__e),t.__e=t.__c=t.__=null}function le(e,t,n){return this.constructor(e,n)}function j(t,n){var r,i,a,o;e.__&&e.__(t,n),n.nodeType==9&&(n=n.documentElement),i=(r=t&&32&t.__u)?null:n.__k,n.__k=v(y,{children:[t]}),a=[],o=[],re(n,n.__k,i||d,d,n.namespaceURI,i?null:n.firstChild?h.call(n.childNodes):null,a,i?i.__e:n.firstChild,r,o),A(a,n.__k,o),n.__k.props.children=null}e={__e:function(e,t,n,r){for(var a,o,s;t=t.__;)if((a=t.__c)&&!(1&a.__g)){a.__g|=4;try{if((s=(o=a.constructor)&&o.getDerivedStateFromError)&&a.setState(o.getDerivedStateFromError(e)),a.componentDidCatch&&(a.componentDidCatch(e,r||{}),s=1),s&&8&a.__g)return void(a.__g|=2)}catch(t){e=t}}throw i=0,e}},t=0,b.prototype.setState=function(e,t){var n=this.__s;n&&n!=this.state||(n=this.__s=g({},this.state)),typeof e==`function`&&(e=e(g({},n),this.props)),e&&(g(n,e),this.__v&&(t&&this.__k.push(t),w(this)))},b.prototype.forceUpdate=function(e){this.__v&&(this.__g|=4,e&&this.__h.push(e),w(this))},b.prototype.render=y,n=[],i=0,a=function(e,t){return e.__v.__b-t.__v.__b},o=Symbol(),s=/(PointerCapture)$|Capture$/i,c=0,l={};var M,N,ue,de,fe=Object.is,pe=0,me=[],he=[],P=e,ge=P.__b,_e=P.__r,ve=P.diffed,ye=P.__c,be=P.unmount,xe=P.__;function Se(e,t){P.__h&&P.__h(N,e,pe||t),pe=0;var n=N.__H||(N.__H={__:[],__h:[]});return e>=n.__.length&&n.__.push({}),n.__[e]}function F(e){return pe=1,Ce(Pe,e)}function Ce(e,t,n){var r=Se(M++,2);if(r.t=e,!r.__c&&(r.__=[n?n(t):Pe(void 0,t),function(e){var t=(r.__N||r.__)[0],n=r.t(t,e);fe(t,n)||(r.__N=[n,r.__[1]],r.__c.setState({}))}],r.__c=N,!N.__f)){N.__f=!0;var i=N.shouldComponentUpdate;N.shouldComponentUpdate=function(e,t,n){var r=this.__H;if(!r)return!0;var a=!1,o=this.props!=e;if(r.__.some(function(e){e.__N&&(a=!0,fe(e.__[0],e.__N[0])||(o=!0))}),i){var s=i.call(this,e,t,n);return a?s||o:s}return!a||o}}return r.__}function I(e,t){var n=Se(M++,3);!P.__s&&Ne(n.__H,t)&&(n.__P=!0,n.__=e,n.u=t,N.__H.__h.push(n))}function we(e,t){var n=Se(M++,4);!P.__s&&Ne(n.__H,t)&&(n.__P=!1,n.__=e,n.u=t,N.__h.push(n))}function L(e){return pe=5,Te(function(){return{current:e}},[])}function Te(e,t){var n=Se(M++,7);return Ne(n.__H,t)&&(n.__=e(),n.__H=t),n.__}function Ee(e,t){return pe=8,Te(function(){return e},t)}function De(){var e;do{for(;e=he.shift();)try{je(e)}catch(t){P.__e(t,{__:(e=e.__P)&&e.__v})}for(;e=me.shift();){var t=e.__H;if(e.__P&&t)try{t.__h.some(je),t.__h.some(Me),t.__h=[]}catch(n){t.__h=[],P.__e(n,e.__v)}}}while(he.length)}P.__b=function(e){N=null,ge&&ge(e)},P.__=function(e,t){e&&t.__k&&t.__k.__m&&(e.__m=t.__k.__m),xe&&xe(e,t)},P.__r=function(e){_e&&_e(e),M=0;var t=(N=e.__c).__H;t&&(ue==N?N.__h=[]:(t.__h.some(je),t.__h.some(Me),M=0),t.__h=[],t.__.some(function(e){e.__N&&(e.__=e.__N),e.u=e.__N=void 0})),ue=N},P.diffed=function(e){ve&&ve(e);var t=e.__c;t&&t.__H&&(t.__H.__h.length&&Ae(me.push(t)),t.__H.__.some(function(e){e.u&&(e.__H=e.u)})),ue=N=null},P.__c=function(e,t){t.some(function(e){try{e.__h.some(je),e.__h=e.__h.filter(function(e){return!e.__||Me(e)})}catch(t){e.__h=[function(){throw t}]}}),ye&&ye(e,t)},P.unmount=function(e){be&&be(e);var t,n,r=e.__c;r&&r.__H&&(r.__H.__.some(function(r){try{if(r.__P&&r.__c){if(n===void 0){for(n=e.__;n&&(!n.__c||!n.__c.__P);)n=n.__;n&&=n.__c}r.__P=n,Ae(he.push(r))}else je(r)}catch(e){t=e}}),r.__H=void 0,t&&P.__e(t,r.__v))};var Oe=typeof requestAnimationFrame==`function`;function ke(e){var t,n=function(){clearTimeout(r),Oe&&cancelAnimationFrame(t),setTimeout(e)},r=setTimeout(n,35);Oe&&(t=requestAnimationFrame(n))}function Ae(e){e!=1&&de==P.requestAnimationFrame||((de=P.requestAnimationFrame)||ke)(De)}function je(e){var t=N,n=e.__c;typeof n==`function`&&(e.__c=void 0,n()),N=t}function Me(e){var t=N;e.__c=e.__(),N=t}function Ne(e,t){return!e||e.length!=t.length||t.some(function(t,n){return!fe(t,e[n])})}function Pe(e,t){return typeof t==`function`?t(e):t}var Fe=class extends Error{status;code;errors;constructor(e,t,n,r=[]){super(n),this.status=e,this.code=t,this.errors=r}},Ie=`samvad-signed-in`,Le=null,Re=null,ze=()=>{};function Be(e){ze=e}async function Ve(){return localStorage.getItem(Ie)?Ke():null}async function He(e,t){return We(await Ye(`POST`,`/auth/login`,{email:e,password:t}))}async function Ue(){try{await R(`POST`,`/auth/logout`)}finally{Ge()}}function We(e){return Le=e.access_token,localStorage.setItem(Ie,`1`),e.user}function Ge(){Le=null,localStorage.removeItem(Ie),ze()}function Ke(){return Re??=Ye(`POST`,`/auth/refresh`).then(e=>We(e)).catch(e=>{if(e instanceof Fe&&e.status===401)return Ge(),null;throw e}).finally(()=>{Re=null}),Re}async function R(e,t,n){return await Je(()=>Ye(e,t,n))}async function z(e,t,n,r={}){return Le||await Ke(),await Je(()=>Ye(e,t,n,{...r,authorization:`Bearer ${Le??``}`}))}async function qe(e,t={}){return Je(async()=>{let n=await fetch(e,{...t,credentials:`same-origin`});if(!n.ok)throw await Xe(n);return n})}async function Je(e){try{return await e()}catch(t){if(!(t instanceof Fe)||t.status!==401||await Ke()===null)throw t;return e()}}async function Ye(e,t,n,r={}){let i={method:e,headers:r,credentials:`same-origin`};n instanceof Blob?(i.body=n,i.headers={...r,"content-type":n.type}):n!==void 0&&(i.body=JSON.stringify(n),i.headers={...r,"content-type":`application/json`});let a;try{a=await fetch(t,i)}catch{throw new Fe(0,`unreachable`,`The server does not answer.`)}if(!a.ok)throw await Xe(a);let o=await a.text();return o?JSON.parse(o):null}async function Xe(e){let t=await e.json().catch(()=>null),n=Ze(t)?t:{},r=Ze(n.error)?n.error:n,i=Ze(n.details)?n.details:n,a=e=>typeof e==`string`?e:void 0,o=a(r.message)??a(n.detail)??a(n.error)??e.statusText,s=Array.isArray(i.errors)?i.errors:[];return new Fe(e.status,a(r.code)??`error`,o,s)}function Ze(e){return typeof e==`object`&&!!e&&!Array.isArray(e)}var Qe=()=>z(`GET`,`/api/v1/agents`),$e=e=>z(`GET`,`/api/v1/agents/${e}`),et=e=>z(`POST`,`/api/v1/agents`,e),tt=e=>z(`DELETE`,`/api/v1/agents/${e}?force_delete=true`),nt=e=>z(`GET`,`/api/v1/agents/${e}/versions`),rt=(e,t)=>z(`POST`,`/api/v1/agents/${e}/rollback`,{version:t}),it=(e,t,n)=>z(`PUT`,`/api/v1/agents/${e}?force_update=true`,n,{"if-match":`"${t}"`}),at=()=>z(`GET`,`/api/v1/providers/all`),ot=()=>z(`GET`,`/api/v1/workflows`),st=e=>z(`GET`,`/api/v1/workflows/${e}`),ct=(e,t)=>z(`POST`,`/api/v1/workflows`,{name:e,definition:t}),lt=e=>z(`POST`,`/api/v1/workflows/check`,{definition:e}),ut=(e,t,n)=>z(`PUT`,`/api/v1/workflows/${e}`,{definition:n},{"if-match":`"${t}"`}),dt=e=>z(`DELETE`,`/api/v1/workflows/${e}`);async function ft(){return(await R(`GET`,`/v1/agents`)).agents}function pt(){let[e,t]=F(new Map);return I(()=>{Promise.allSettled([Qe(),ft()]).then(e=>{let n=e.flatMap(e=>e.status===`fulfilled`?e.value:[]);t(new Map(n.map(e=>[e.id,e.name])))})},[]),e}function mt(){let[e=``,t=``]=window.location.hash.replace(/^#\/?/,``).split(`?`);return{path:e.split(`/`).filter(Boolean).map(decodeURIComponent),query:new URLSearchParams(t)}}function ht(){let[e,t]=F(mt);return I(()=>{let e=()=>t(mt());return window.addEventListener(`hashchange`,e),()=>window.removeEventListener(`hashchange`,e)},[]),e}function gt(e){window.location.hash=e}function _t(e,t){let n=t.toString();window.history.replaceState(null,``,`#/${e}${n?`?${n}`:``}`)}var vt=new Intl.DateTimeFormat(void 0,{dateStyle:`medium`,timeStyle:`medium`}),B=e=>e?vt.format(new Date(e)):`–`,yt=new Intl.DateTimeFormat(void 0,{day:`numeric`,month:`short`,hour:`2-digit`,minute:`2-digit`}),bt=new Intl.DateTimeFormat(void 0,{day:`numeric`,month:`short`,year:`numeric`,hour:`2-digit`,minute:`2-digit`});function xt(e){let t=new Date(e);return(t.getFullYear()===new Date().getFullYear()?yt:bt).format(t)}function V(e){if(e==null)return`–`;let t=Math.round(e/1e3),n=[Math.floor(t/60)%60,t%60].map(e=>String(e).padStart(2,`0`)),r=Math.floor(t/3600);return r?`${r}:${n.join(`:`)}`:n.join(`:`).replace(/^0/,``)}var St=e=>`${Math.round(e/1e3)} ms`,H=e=>e.replaceAll(`_`,` `);function U(e,t){let[n,r]=F(),[i,a]=F(),[o,s]=F(0);return I(()=>{let t=!0;return e().then(e=>{t&&(r(()=>e),a(void 0))},e=>t&&a(e)),()=>{t=!1}},[...t,o]),{data:n,problem:i,reload:Ee(()=>s(e=>e+1),[])}}var Ct=Symbol.for(`pv`),wt=0;Array.isArray;function W(t,n,r,i,a,o){n||={};var s,c,l=n;if(`ref`in l&&typeof t!=`function`)for(c in l={},n)c==`ref`?s=n[c]:l[c]=n[c];var u={type:t,props:l,key:r,ref:s,__k:null,__:null,__b:0,__e:null,__c:null,constructor:Ct,__v:--wt,__i:-1,__u:0};return(a||o)&&(u.__source=a,u.__self=o),e.vnode&&e.vnode(u),u}function G(e){return I(()=>{document.title=`${e.title} · Samvad`},[e.title]),W(y,{children:[W(`header`,{class:`page-head`,children:[W(`h1`,{tabIndex:-1,children:e.title}),W(`div`,{class:`actions`,children:e.actions})]}),e.children]})}function K(e){return W(`div`,{class:`note problem`,role:`alert`,children:[W(`p`,{children:e.problem.message}),e.retry&&W(`button`,{type:`button`,onClick:e.retry,children:`Try again`})]})}function q(e){return W(`div`,{class:`note empty`,children:[W(`p`,{class:`strong`,children:e.title}),e.children]})}function J(e){let{data:t,problem:n,reload:r}=e.of;return W(y,{children:[n&&W(K,{problem:n,retry:r}),t===void 0?!n&&W(`div`,{class:`note waiting`,role:`status`,children:`Loading…`}):e.children(t)]})}function Y(e){return W(`span`,{class:`badge ${e.kind}`,children:e.children})}function Tt(e){return e.status===`active`?W(Y,{kind:`busy`,children:`active`}):e.outcome?W(Y,{kind:e.outcome.class===`completed`?`good`:/failed/.test(e.outcome.class)?`bad`:`plain`,children:H(e.outcome.reason)}):W(Y,{kind:`plain`,children:e.status})}function X(e){return W(`label`,{class:`field`,children:[W(`span`,{children:e.label}),e.children,e.hint&&W(`small`,{children:e.hint})]})}function Et(e){return W(`dl`,{class:`facts`,children:e.of.map(([e,t])=>W(`div`,{children:[W(`dt`,{children:e}),W(`dd`,{children:t??`–`})]},e))})}function Dt(e){return W(`div`,{class:`note secret`,role:`status`,children:[W(`p`,{class:`strong`,children:[e.label,`: shown this once`]}),W(`pre`,{tabIndex:0,children:e.value})]})}function Ot({id:e}){let t=U(()=>$e(e),[e]),n=async()=>{window.confirm(`Delete this agent? Numbers mapped to it lose their target.`)&&(await tt(e),gt(`/agents`))};return W(G,{title:t.data?.agent.name??`Agent`,actions:W(y,{children:[t.data?.agent.workflow_id&&W(`a`,{class:`button`,href:`#/workflows/${t.data.agent.workflow_id}`,children:`Edit the workflow`}),W(`button`,{class:`danger`,type:`button`,onClick:()=>void n(),children:`Delete`})]}),children:W(J,{of:t,children:n=>W(`div`,{class:`columns`,children:[W(At,{whole:n,reload:t.reload},n.agent.version),W(`div`,{children:[W(`section`,{"aria-labelledby":`try`,children:[W(`h2`,{id:`try`,children:`Try it`}),W(`p`,{children:`Let the program call:`}),W(`pre`,{tabIndex:0,children:[`samvad call `,e,` --say "hello"`]}),W(`p`,{children:[`Or dial `,W(`code`,{children:[`sip:`,e,`@`,location.hostname]}),` with a softphone. The next call has the current version.`]})]}),W(jt,{id:e,current:n.agent.version,reload:t.reload})]})]})})})}var kt=(e,t)=>{let n=e[t];return typeof n==`string`||typeof n==`number`?String(n):``};function At({whole:e,reload:t}){let{agent:n,configurations:r}=e,i=U(at,[]),[a,o]=F(),[s,c]=F(!1),l=!!n.workflow_id,u=async e=>{e.preventDefault();let r=new FormData(e.currentTarget),i=e=>String(r.get(e)??``),a=(e,t)=>i(e)?{[t]:i(e)}:{};o(void 0),c(!1);try{await it(n.id,n.version,{agent:{name:i(`name`),is_active:r.has(`active`),is_public:r.has(`public`),recording_enabled:r.has(`recording`),...!l&&{first_response_message:i(`first`)}},...!l&&{agent_model_config:{system_prompt:i(`prompt`),...a(`model`,`model_name`)}},transcriber_config:a(`stt`,`transcriber_model_name`),tts_config:a(`tts`,`tts_model_name`)}),c(!0),t()}catch(e){let t=e instanceof Fe&&e.status===412;o(t?Error(`Somebody else has changed this agent meanwhile. Load it again before you save.`):e)}},d=(e,t,n)=>W(X,{label:t,children:W(`select`,{name:e,defaultValue:n,children:[W(`option`,{value:``,selected:!n,children:`the installation's default`}),(i.data?.[e]??[]).map(e=>W(`option`,{value:e.name,selected:e.name===n,children:e.name},e.id))]},i.data?`loaded`:`waiting`)}),f=(e,t,n)=>W(`label`,{class:`check`,children:[W(`input`,{type:`checkbox`,name:e,defaultChecked:n}),` `,t]});return W(`form`,{class:`form`,onSubmit:e=>void u(e),"aria-label":`Settings`,children:[W(`h2`,{children:[`Settings `,W(Y,{kind:`plain`,children:[`version `,n.version]})]}),W(X,{label:`Name`,children:W(`input`,{name:`name`,required:!0,maxLength:200,defaultValue:n.name})}),!l&&W(y,{children:[W(X,{label:`First message`,children:W(`textarea`,{name:`first`,rows:2,defaultValue:n.first_response_message??``})}),W(X,{label:`Instructions to the model`,children:W(`textarea`,{name:`prompt`,rows:8,defaultValue:kt(r.model_config,`system_prompt`)})}),d(`model`,`Language model`,kt(r.model_config,`model_name`))]}),d(`stt`,`Recogniser`,kt(r.transcriber_config,`transcriber_model_name`)),d(`tts`,`Voice`,kt(r.tts_config,`tts_model_name`)),f(`active`,`Active: answers calls`,n.is_active),f(`recording`,`Record calls`,n.recording_enabled??!0),f(`public`,`Public: may be called from the web without a sign-in`,n.is_public),a&&W(K,{problem:a}),W(`div`,{class:`actions`,children:[W(`button`,{class:`primary`,children:`Save`}),W(`span`,{role:`status`,class:`quiet`,children:s&&`Saved.`})]})]})}function jt(e){let t=U(()=>nt(e.id),[e.id,e.current]),[n,r]=F(),i=t=>void rt(e.id,t).then(e.reload,r);return W(`section`,{"aria-labelledby":`versions`,children:[W(`h2`,{id:`versions`,children:`Versions`}),n&&W(K,{problem:n}),W(J,{of:t,children:t=>t.length===0?W(q,{title:`No versions.`}):W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Version`}),W(`th`,{scope:`col`,children:`Made`}),W(`th`,{scope:`col`,children:W(`span`,{class:`unseen`,children:`Action`})})]})}),W(`tbody`,{children:t.map(({version:t,created_at:n})=>W(`tr`,{children:[W(`th`,{scope:`row`,children:t}),W(`td`,{children:B(n)}),W(`td`,{class:`number`,children:t===e.current?W(Y,{kind:`good`,children:`current`}):W(`button`,{type:`button`,onClick:()=>i(t),children:`Make current`})})]},t))})]})})]})}function Mt(e,t){let n=e.slice(0,t).split(/\r?\n/);return[n.length,n.pop().length+1]}function Nt(e,t,n){let r=e.split(/\r?\n/),i=``,a=(Math.log10(t+1)|0)+1;for(let e=t-1;e<=t+1;e++){let o=r[e-1];o&&(i+=e.toString().padEnd(a,` `),i+=`:  `,i+=o,i+=`
`,e===t&&(i+=` `.repeat(a+n+2),i+=`^
`))}return i}var Z=class e extends Error{line;column;codeblock;constructor(e,t){let[n,r]=Mt(t.toml,t.ptr),i=Nt(t.toml,n,r);super(`Invalid TOML document: ${e}\n\n${i}`,t),this.line=n,this.column=r,this.codeblock=i}static x(t,n,r){throw new e(t,{toml:n.s,ptr:r??n.p})}};function Pt(e){let t=e.p,n=e.s.charCodeAt(e.p++),r=n,i=n===39,a=n===e.s.charCodeAt(e.p)&&n===e.s.charCodeAt(e.p+1);a&&((n=e.s.charCodeAt(e.p+=2))===10?e.p++:n===13&&e.s.charCodeAt(e.p+1)===10&&(e.p+=2));let o=``,s=e.p,c=0;for(;e.p<e.s.length;e.p++)if(n=e.s.charCodeAt(e.p),a&&(n===10||n===13&&e.s.charCodeAt(e.p+1)===10))c&&=3;else if(n<32&&n!==9||n===127)Z.x(`control characters are not allowed in strings`,e);else if((!c||c===3)&&n===r&&(!a||e.s.charCodeAt(e.p+1)===r&&e.s.charCodeAt(e.p+2)===r)){if(a&&(e.s.charCodeAt(e.p+3)===r&&e.p++,e.s.charCodeAt(e.p+3)===r&&e.p++),!c){let t=e.s.slice(s,e.p);o=o?o+t:t}return e.p+=a?3:1,o}else if(!c)!i&&n===92&&(o+=e.s.slice(s,s=e.p),c=1);else if(c===1){if(n===120||n===117||n===85){let t=e.p++-1,r=0,i=n===120?2:n===117?4:8;for(let t=0;t<i;t++,e.p++){let t=e.s.charCodeAt(e.p),n=t>=48&&t<=57?t-48:t>=65&&t<=70?t-65+10:t>=97&&t<=102?t-97+10:-1;n<0&&Z.x(`invalid non-hex character in unicode escape`,e),r=r<<4|n}(r<0||r>1114111||r>=55296&&r<=57343)&&Z.x(`invalid unicode escape`,e,t),o+=String.fromCodePoint(r),s=e.p--,c=0}else a&&(n===32||n===9)?c=2:(n===98?o+=`\b`:n===116?o+=`	`:n===110?o+=`
`:n===102?o+=`\f`:n===114?o+=`\r`:n===101?o+=`\x1B`:n===34?o+=`"`:n===92?o+=`\\`:Z.x(`unrecognised escape sequence`,e),s=e.p+1,c=0)}else n!==32&&n!==9&&(c===2&&Z.x(`invalid escape: only line-ending whitespace may be escaped`,e,s),c=+(!i&&n===92),s=e.p);Z.x(`unfinished string`,e,t)}var Ft=/^(\d{4}-\d{2}-\d{2})?[Tt ]?(?:(\d{2}):\d{2}(?::\d{2}(?:\.\d+)?)?)?(Z|z|[-+]\d{2}:\d{2})?$/i,It=class e extends Date{#e=!1;#t=!1;#n=null;constructor(e,t,n){let r=!0,i=!0,a=`Z`,o;if(typeof e==`string`){if(t)prep:{if(t<3){if(+e.slice(11,13)>23){e=``;break prep}t===2?(a=null,e+=`Z`):(o=e.charCodeAt(e.length-1))!==90&&o!==122&&(a=e.slice(e.length-6)),n&&(e=e.slice(0,10)+`T`+e.slice(11))}else t===4&&(e=+e.slice(0,2)>23?``:`0000-01-01T${e}Z`);r=t!==4,i=t!==3}else{let t=e.match(Ft);t?(t[1]||(r=!1,e=`0000-01-01T${e}`),i=!!t[2],i&&e[10]===` `&&(e=e.replace(` `,`T`)),t[2]&&+t[2]>23?e=``:(a=t[3]||null,!a&&i&&(e+=`Z`))):e=``}}super(e),isNaN(this.getTime())||(this.#e=r,this.#t=i,this.#n=a)}isDateTime(){return this.#e&&this.#t}isLocal(){return!this.#e||!this.#t||!this.#n}isDate(){return this.#e&&!this.#t}isTime(){return this.#t&&!this.#e}isValid(){return this.#e||this.#t}toISOString(){let e=super.toISOString();if(this.isDate())return e.slice(0,10);if(this.isTime())return e.slice(11,23);if(this.#n===null)return e.slice(0,-1);if(this.#n===`Z`||this.#n===`z`)return e;let t=this.#n.slice(1,3)*60+ +this.#n.slice(4,6);return t=this.#n[0]===`-`?t:-t,new Date(this.getTime()-t*6e4).toISOString().slice(0,-1)+this.#n}static wrapAsOffsetDateTime(t,n=`Z`){let r=new e(t);return r.#n=n,r}static wrapAsLocalDateTime(t){let n=new e(t);return n.#n=null,n}static wrapAsLocalDate(t){let n=new e(t);return n.#t=!1,n.#n=null,n}static wrapAsLocalTime(t){let n=new e(t);return n.#e=!1,n.#n=null,n}};function Q(e,t=10){return t===16?e>47&&e<58||e>64&&e<71||e>96&&e<103:e>47&&e<48+t}function Lt(e,t){return e===32||e===9||e===10||e===13||t&&(e===t||e===44)||e===35}function Rt(e,t){let n=e.p,r=e.s.charCodeAt(e.p);if(r===91||r===123){e.d--||Z.x(`document contains excessively nested structures. aborting.`,e);let t=r===91?Jt(e):qt(e);return e.d++,t}return r===34||r===39?Pt(e):r===116?((e.s.charCodeAt(++e.p)!==114||e.s.charCodeAt(++e.p)!==117||e.s.charCodeAt(++e.p)!==101)&&Z.x(`invalid value`,e,n),e.p++,!0):r===102?((e.s.charCodeAt(++e.p)!==97||e.s.charCodeAt(++e.p)!==108||e.s.charCodeAt(++e.p)!==115||e.s.charCodeAt(++e.p)!==101)&&Z.x(`invalid value`,e,n),e.p++,!1):r===43||r===45?zt(e,e.p,e.s.charCodeAt(++e.p),44-r,t):e.s.charCodeAt(e.p+4)===45&&e.s.charCodeAt(e.p+7)===45?Ht(e,r,t):e.s.charCodeAt(e.p+2)===58?Ut(e,r,t):zt(e,e.p,r,0,t)}function zt(e,t,n,r,i){let a=n,o=0,s=!1;if(a===105)return(e.s.charCodeAt(++e.p)!==110||e.s.charCodeAt(++e.p)!==102)&&Z.x(`invalid value`,e,t),e.p++,(r||1)/0;if(a===110)return(e.s.charCodeAt(++e.p)!==97||e.s.charCodeAt(++e.p)!==110)&&Z.x(`invalid value`,e,t),e.p++,NaN;if(a===48){if(++e.p>=e.s.length||Lt(a=e.s.charCodeAt(e.p),i))return e.bi===!0?0n:0;if(!r){if(a===120)return Bt(e,t,16,i);if(a===98)return Bt(e,t,2,i);if(a===111)return Bt(e,t,8,i)}a===46?o=2:a===101||a===69?o=4:Z.x(`illegal leading zero`,e,t)}else Q(a)||Z.x(`invalid value`,e,t);for(;++e.p<e.s.length&&(a=e.s.charCodeAt(e.p),!Lt(a,i));)o||=1,a===95?(o&1||Z.x(`illegal underscore`,e),o+=11,s=!0):o===1&&a===46?o=2:(o===1||o===3)&&(a===101||a===69)?o=4:o===4&&(a===43||a===45)?o=6:Q(a)?o>9?o-=11:o&1||o++:Z.x(`illegal character in numeric literal`,e);if(!o){let t=(n-48)*(r||1);return e.bi===!0?BigInt(t):t}o&1||Z.x(`unfinished numeric value`,e,t);let c=e.s.slice(t,e.p);return s&&(c=c.replaceAll(`_`,``)),o>1?parseFloat(c):Vt(e,c,10,t)}function Bt(e,t,n,r){let i,a=1;for(;++e.p<e.s.length&&(i=e.s.charCodeAt(e.p),!Lt(i,r));)i===95?(a&1&&Z.x(`illegal underscore`,e),a=3):Q(i,n)?a&1&&a--:Z.x(`illegal character in numeric literal`,e);a&1&&Z.x(`unfinished numeric value`,e);let o=e.s.slice(t+2,e.p);return a&&(o=o.replaceAll(`_`,``)),Vt(e,o,n,t)}function Vt(e,t,n,r){if(e.bi!==!0)int:{let i=parseInt(t,n);if(!Number.isSafeInteger(i)){if(e.bi)break int;Z.x(`integer value cannot be represented losslessly`,e,r)}return i}return BigInt(n===10?t:(n===2?`0b`:n===8?`0o`:`0x`)+t)}function Ht(e,t,n){let r=e.p++,i;if(!Q(t)||!Q(e.s.charCodeAt(e.p++))||!Q(e.s.charCodeAt(e.p++))||!Q(e.s.charCodeAt(e.p++)))return zt(e,e.p=r,t,0,n);if(e.p+=5,Q(e.s.charCodeAt(e.p++))||Z.x(`invalid date-time: date part is malformed`,e,r),e.p>=e.s.length||((t=e.s.charCodeAt(e.p))!==32||(i=!0,!Q(e.s.charCodeAt(e.p+1))))&&t!==84&&t!==116)return Wt(e,e.s.slice(r,e.p),3,!1,r);if(e.s.charCodeAt(e.p+=3)!==58&&Z.x(`invalid date-time: time part is malformed`,e,r),e.s.charCodeAt(e.p+=3)===58&&(e.p+=3),e.s.charCodeAt(e.p)===46)for(;Q(e.s.charCodeAt(++e.p)););if(t=e.s.charCodeAt(e.p)){if(t===90||t===122)return Wt(e,e.s.slice(r,++e.p),1,i,r,`[+00:00]`);if(t===43||t===45)return Wt(e,e.s.slice(r,e.p+=6),1,i,r,!e.ld&&`[`+e.s.slice(e.p-6,e.p)+`]`)}return Wt(e,e.s.slice(r,e.p),2,i,r)}function Ut(e,t,n){let r=e.p;if(!Q(t)||!Q(e.s.charCodeAt(++e.p)))return zt(e,--e.p,t,0,n);if(e.s.charCodeAt(e.p+=4)===58&&(e.p+=3),e.s.charCodeAt(e.p)===46)for(;Q(e.s.charCodeAt(++e.p)););return Wt(e,e.s.slice(r,e.p),4,!1,r)}function Wt(e,t,n,r,i,a){if(e.ld){let a=new It(t,n,r);return a.isValid()||Z.x(`invalid date`,e,i),a}try{switch(a&&(t+=a),n){case 1:return Temporal.ZonedDateTime.from(t);case 2:return Temporal.PlainDateTime.from(t);case 3:return Temporal.PlainDate.from(t);case 4:return Temporal.PlainTime.from(t)}}catch(t){Z.x(t instanceof Error?t.message:``+t,e,i)}}function Gt(e){for(;e.p<e.s.length;e.p++){let t=e.s.charCodeAt(e.p);if(t===10)break;if(t===13&&e.s.charCodeAt(e.p+1)===10){e.p++;break}(t<32&&t!==9||t===127)&&Z.x(`control characters are not allowed in comments`,e)}}function $(e,t,n){let r;for(;e.p<e.s.length;){for(;e.p<e.s.length&&((r=e.s.charCodeAt(e.p))===32||r===9||!t&&(r===10||r===13&&e.s.charCodeAt(e.p+1)===10));)e.p++;if(n||r!==35)break;Gt(e)}}function Kt(e,t=61){let n,r=0,i=[],a,o=e.s.charCodeAt(n=e.p);do if(o===t)return r||Z.x(`unexpected end of key`,e),r===1&&i.push(e.s.slice(a,e.p)),e.p++,i;else o===46?(r||Z.x(`illegal empty bare key`,e),r===1&&i.push(e.s.slice(a,e.p)),r=0):!r&&(o===34||o===39)?(o===e.s.charCodeAt(e.p+1)&&o===e.s.charCodeAt(e.p+2)&&Z.x(`illegal quoted key: multiline strings are not allowed`,e),i.push(Pt(e)),r=2,e.p--):o===32||o===9?r===1&&(i.push(e.s.slice(a,e.p)),r=2):r===2||o<48&&o!==45||o>57&&o<65||o>90&&o<97&&o!==95||o>122?Z.x(`illegal character in key`,e):r||(r=1,a=e.p);while(o=e.s.charCodeAt(++e.p));Z.x(`incomplete key-value: cannot find end of key`,e,n)}function qt(e){let t=e.p++,n=Object.create(null),r=new Set,i;for(;e.p<e.s.length;){if($(e),(i=e.s.charCodeAt(e.p))===125)return e.p++,n;let t,a=n,o=!1,s=e.p,c=Kt(e);for(let n=0;n<c.length;n++){n&&(a=o?a[t]:a[t]=Object.create(null)),t=c[n],(o=Object.hasOwn(a,t))&&(typeof a[t]!=`object`||r.has(a[t]))&&Z.x(`trying to redefine an already defined value`,e,s);let i=t===`__proto__`;if(e.uk&&(i||t===`constructor`)){a=e.uk!==1&&Z.x(`document contains an unsafe property`,e,s);break}!o&&i&&Object.defineProperty(a,t,{enumerable:!0,configurable:!0,writable:!0})}o&&Z.x(`trying to redefine an already defined value`,e,s),$(e,!0,!0);let l=Rt(e,125);if(a&&typeof(a[t]=l)==`object`&&r.add(l),$(e),(i=e.s.charCodeAt(e.p++))===125)return n;i!==44&&Z.x(`expected comma or end of structure`,e,e.p-1)}Z.x(`unfinished table`,e,t)}function Jt(e){let t=e.p++,n=[],r;for(;e.p<e.s.length;){if($(e),(r=e.s.charCodeAt(e.p))===93)return e.p++,n;if(n.push(Rt(e,93)),$(e),(r=e.s.charCodeAt(e.p++))===93)return n;r!==44&&Z.x(`expected comma or end of structure`,e,e.p-1)}Z.x(`unfinished array`,e,t)}function Yt(e,t,n,r,i){let a=n,o=r,s,c=!1,l;for(let n=0;n<t.length;n++){if(n){if(a=c?a[s]:a[s]=Object.create(null),o=(l=o[s]).c,i===0&&(l.t===1||l.t===2))return null;if(l.t===2){let e=a.length-1;a=a[e],o=o[e].c}}if(s=t[n],(c=Object.hasOwn(a,s))&&o[s]?.t===0&&o[s]?.d)return null;if(!c){let r=s===`__proto__`;if(e.uk&&(r||s===`constructor`))return!1;r&&(Object.defineProperty(a,s,{enumerable:!0,configurable:!0,writable:!0}),Object.defineProperty(o,s,{enumerable:!0,configurable:!0,writable:!0})),o[s]={t:n<t.length-1&&i===2?3:i,d:!1,i:0,c:Object.create(null)}}}if(l=o[s],l.t!==i&&(i!==1||l.t!==3)||(i===2&&(l.d||(l.d=!0,a[s]=[]),a[s].push(a=Object.create(null)),l.c[l.i++]=l={t:1,d:!1,i:0,c:Object.create(null)}),l.d))return null;if(l.d=!0,i===1)a=c?a[s]:a[s]=Object.create(null);else if(i===0&&c)return null;return[s,a,l.c]}function Xt(e,t,n){(t===null||e.uk===2)&&Z.x(t===null?`trying to redefine an already defined table or value`:`document contains an unsafe property`,e,n)}function Zt(e,t={}){let n={s:e,p:0,d:t.maxDepth??1e3,bi:t.integersAsBigInt??!1,ld:t.useLegacyDate??!0,uk:t.unsafeKeyBehaviour===`throw`?2:+(t.unsafeKeyBehaviour===`drop`)},r=Object.create(null),i=Object.create(null),a,o=!1,s=r,c=i;for(e.charCodeAt(0)===65279&&n.p++,$(n);n.p<e.length;){if(e.charCodeAt(n.p)===91){let t=e.charCodeAt(++n.p)===91;a=n.p+=+t,o=!1;let l=Kt(n,93);t&&(e.charCodeAt(n.p)!==93&&Z.x(`expected end of table array declaration`,n),n.p++);let u=Yt(n,l,r,i,t?2:1);u?(c=u[2],s=u[1]):(Xt(n,u,a),o=!0)}else{a=n.p;let e=Yt(n,Kt(n),s,c,0);!e&&!o&&Xt(n,e,a),$(n,!0,!0);let t=Rt(n,void 0);e&&!o&&(e[1][e[0]]=t)}$(n,!0),n.p<e.length&&(a=e.charCodeAt(n.p))!==10&&(a!==13||e.charCodeAt(n.p+1)!==10)&&Z.x(`each key-value declaration must be followed by an end-of-line`,n),$(n)}return r}var Qt=/^[a-z0-9-_]+$/i,$t=!!``.isWellFormed;function en(e){let t=typeof e;if(t===`object`){if(Array.isArray(e))return`array`;if(typeof e.getUTCDate==`function`&&e instanceof Date)return`date`;if(globalThis.Temporal){if(e.until){if(e instanceof Temporal.ZonedDateTime)return`temporal/tz+uc`;if(e instanceof Temporal.PlainDateTime||e instanceof Temporal.PlainDate)return`temporal/uc`;if(e instanceof Temporal.PlainTime||e instanceof Temporal.Instant)return`temporal`;if(e instanceof Temporal.PlainYearMonth)return`temporal/x`}else if(e.toPlainDate&&e instanceof Temporal.PlainMonthDay||e.negated&&e instanceof Temporal.Duration)return`temporal/x`}}return t}function tn(e){for(let t=0;t<e.length;t++)if(en(e[t])!==`object`)return!1;return e.length!=0}function nn(e){return JSON.stringify(e).replaceAll(``,`\\u007f`)}function rn(e){return nn($t?e.toWellFormed():e)}function an(e){if(Qt.test(e))return e;if($t&&!e.isWellFormed())throw RangeError(`key contains illegal lone surrogates`);return nn(e)}function on(e,t,n,r,i){if(n===0)throw Error(`Could not stringify the object: maximum object depth exceeded`);switch(t){case`number`:if(isNaN(e))return`nan`;if(e===1/0)return`inf`;if(e===-1/0)return`-inf`;if(Number.isInteger(e)&&(r||!Number.isSafeInteger(e)))return e.toFixed(1);case`bigint`:case`boolean`:case`temporal`:return e.toString();case`string`:return rn(e);case`date`:if(isNaN(e.getTime()))throw TypeError(`cannot serialize invalid date`);return e.toISOString();case`object`:return sn(e,n,r,i);case`array`:return cn(e,n,r,i);case`temporal/tz+uc`:if(i){let t=e.timeZoneId,n=t.charCodeAt(0);if(n!==43&&n!==45&&(n!==85&&n!==71&&n!==90&&n!==69||t!==`UTC`&&t!==`UCT`&&t!==`Universal`&&t!==`Zulu`&&!t.startsWith(`GMT`)&&t!==`Greenwich`&&!t.startsWith(`Etc/`)))throw TypeError(`Temporal objects with an IANA timezone are not allowed in Temporal strict mode`)}case`temporal/uc`:if(i&&e.calendarId!==`iso8601`)throw TypeError(`Temporal objects with a non-default calendar are not allowed in Temporal strict mode`);return e.toString({calendarName:`never`,timeZoneName:`never`});case`temporal/x`:throw TypeError(`Unsupported `+e[Symbol.toStringTag])}}function sn(e,t,n,r){let i=Object.keys(e);if(i.length===0)return`{}`;let a=`{ `;for(let o=0;o<i.length;o++){let s=i[o];o&&(a+=`, `),a+=an(s)+` = `+on(e[s],en(e[s]),t-1,n,r)}return a+` }`}function cn(e,t,n,r){if(e.length===0)return`[]`;let i=`[ `;for(let a=0;a<e.length;a++){if(a&&(i+=`, `),e[a]===null||e[a]===void 0)throw TypeError(`arrays cannot contain null or undefined values`);i+=on(e[a],en(e[a]),t-1,n,r)}return i+` ]`}function ln(e,t,n,r,i){if(n===0)throw Error(`Could not stringify the object: maximum object depth exceeded`);let a=``;for(let o=0;o<e.length;o++)a+=`${a&&`
`}[[${t}]]\n`,a+=un(0,e[o],t,n,r,i);return a}function un(e,t,n,r,i,a){if(r===0)throw Error(`Could not stringify the object: maximum object depth exceeded`);let o=``,s=``,c=Object.keys(t);for(let e=0;e<c.length;e++){let l=c[e];if(t[l]!==null&&t[l]!==void 0){let e=en(t[l]);if(e===`symbol`||e===`function`)throw TypeError(`cannot serialize values of type '${e}'`);let c=an(l);if(e===`array`&&tn(t[l]))s+=(s&&`
`)+ln(t[l],n?`${n}.${c}`:c,r-1,i,a);else if(e===`object`){let e=n?`${n}.${c}`:c;s+=(s&&`
`)+un(e,t[l],e,r-1,i,a)}else o+=c,o+=` = `,o+=on(t[l],e,r,i,a),o+=`
`}}return e&&(o||!s)&&(o=o?`[${e}]\n${o}`:`[${e}]`),o&&s?`${o}\n${s}`:o||s}function dn(e,{maxDepth:t=1e3,numbersAsFloat:n=!1,strictTemporal:r=!1}={}){if(en(e)!==`object`)throw TypeError(`stringify can only be called with an object`);let i=un(0,e,``,t,n,r);return i[i.length-1]===`
`?i:i+`
`}var fn=[{id:`clinic`,title:`Clinic appointments`,about:`A workflow that books, moves and cancels appointments. Runs without any account.`,name:`Clinic`,workflow:Zt(`# The front desk of a small clinic: books, moves and cancels appointments.
#
# An appointment is a record of the collection \`appointments\`. Two callers cannot get the same
# doctor at the same time, because that key is unique in the store, not because nobody asked first.

id = "clinic"
name = "Lakeside Clinic front desk"
language = "en-US"
start = "welcome"

[variables]
clinic_name = "Lakeside Clinic"
operator_number = "+15550100100"

[hours]
monday = [["09:00", "17:00"]]
tuesday = [["09:00", "17:00"]]
wednesday = [["09:00", "17:00"]]
thursday = [["09:00", "17:00"]]
friday = [["09:00", "17:00"]]

[[collections]]
name = "appointments"
unique = [["doctor", "date", "time"]]

[policy]
tries_max = 3
fallback = "to_operator"
no_match = ["Sorry, I didn't catch that.", "I'm sorry, I still didn't get that."]
silence = ["Are you still there?", "I can't hear you at the moment."]

[[commands]]
name = "repeat"
phrases = ["repeat", "repeat that", "say that again", "pardon"]
key = "*"
do = "repeat"

[[commands]]
name = "help"
phrases = ["help", "what can i say"]
do = "help"

[[commands]]
name = "operator"
phrases = ["operator", "receptionist", "speak to a person", "talk to someone"]
key = "0"
do = { goto = "to_operator" }

[[commands]]
name = "goodbye"
phrases = ["goodbye", "bye"]
do = { goto = "farewell" }

[[lists.doctors]]
value = "patel"
say = "Doctor Patel"
phrases = ["doctor patel", "patel"]
key = "1"

[[lists.doctors]]
value = "morgan"
say = "Doctor Morgan"
phrases = ["doctor morgan", "morgan"]
key = "2"

[[lists.doctors]]
value = "rossi"
say = "Doctor Rossi"
phrases = ["doctor rossi", "rossi"]
key = "3"

[[lists.surnames]]
value = "Carter"
phrases = ["carter"]

[[lists.surnames]]
value = "Johnson"
phrases = ["johnson"]

[[lists.surnames]]
value = "Williams"
phrases = ["williams"]

[[lists.surnames]]
value = "Anderson"
phrases = ["anderson"]

[[lists.surnames]]
value = "Thompson"
phrases = ["thompson"]

[slots.intent]
type = "choice"
options = [
    { value = "book", phrases = ["book an appointment", "make an appointment", "an appointment", "appointment", "book"], key = "1" },
    { value = "move", phrases = ["move my appointment", "change my appointment", "reschedule my appointment", "reschedule", "move", "change"], key = "2" },
    { value = "cancel", phrases = ["cancel my appointment", "cancel an appointment", "cancel"], key = "3" },
]

[slots.doctor]
type = "choice"
list = "doctors"

[slots.date]
type = "date"
open_only = true
closed = ["Sorry, we are closed on {date}. We are open Monday to Friday."]
days_ahead_max = 180
too_far = ["I can only book up to six months ahead."]

[slots.time]
type = "time"
date = "date"
open_only = true
closed = ["We are open from nine to five on weekdays."]
past = ["I'm afraid that time has already passed."]
step_minutes = 30
off_step = ["Appointments begin on the hour or the half hour."]

[slots.name]
type = "name"
list = "surnames"
spelled = true
free = true

[slots.phone]
type = "digits"
min = 10
max = 10

# --- opening -------------------------------------------------------------------------------------

[nodes.welcome]
type = "say"
say = ["Hello, this is {clinic_name}."]
next = "ask_intent"

[nodes.ask_intent]
type = "ask"
ask = ["Would you like to book, move or cancel an appointment?"]
again = ["You can say book, move or cancel."]
help = ["I can book a new appointment, move one, or cancel one. Say operator to speak to a person."]
expect = ["intent"]
accept = ["doctor", "date", "time"]
next = "by_intent"

[nodes.by_intent]
type = "branch"
cases = [
    { of = "intent", is = "book", goto = "ask_doctor" },
    { of = "intent", is = "move", goto = "set_aside" },
]
otherwise = "ask_phone_to_find"

# --- booking -------------------------------------------------------------------------------------

[nodes.ask_doctor]
type = "ask"
ask = ["Certainly. Which doctor would you like to see: Patel, Morgan or Rossi?"]
again = ["Doctor Patel, Doctor Morgan or Doctor Rossi?"]
help = ["Please say the doctor's name, or press one for Patel, two for Morgan, three for Rossi."]
expect = ["doctor"]
accept = ["date", "time"]
next = "ask_date"

[nodes.ask_date]
type = "ask"
ask = ["What day would suit you?"]
again = ["Which day, please?"]
help = ["You can say a weekday, such as next Tuesday, or a date, such as March the third."]
expect = ["date"]
also = ["time"]
next = "ask_time"

[nodes.ask_time]
type = "ask"
ask = ["And what time on {date}?"]
again = ["What time, please?"]
help = ["You can say a time between nine and five, such as ten thirty."]
expect = ["time"]
accept = ["date"]
next = "check_slot"

[nodes.check_slot]
type = "tool"
tool = "record_find"
arguments = { collection = "appointments", filter = { doctor = "{doctor}", date = "{date}", time = "{time}" } }
cases = [{ of = "status", is = "found", goto = "find_free" }]
next = "slot_free"
on_error = "trouble"

[nodes.slot_free]
type = "branch"
cases = [{ of = "intent", is = "move", goto = "confirm_move" }]
otherwise = "ask_name"

[nodes.ask_name]
type = "ask"
ask = ["What is your last name? You can also spell it."]
again = ["Please say or spell your last name."]
help = ["Say your last name, or spell it letter by letter."]
expect = ["name"]
next = "ask_phone"

[nodes.ask_phone]
type = "ask"
ask = ["Thank you. And your ten digit phone number? You can also key it in."]
again = ["Please say or key in all ten digits of your phone number."]
help = ["Say the ten digits one by one, or use the keys of your phone."]
expect = ["phone"]
next = "confirm_booking"

[nodes.confirm_booking]
type = "confirm"
ask = ["So that's {doctor}, on {date}, at {time}, for {name}, phone {phone:digits}. Is that right?"]
again = ["{doctor}, {date}, at {time}, for {name}. Shall I book it?"]
help = ["Say yes to book, or no to change something."]
keys = true
yes = "book"
no = "ask_what_is_wrong"

[nodes.book]
type = "tool"
tool = "record_create"
arguments = { collection = "appointments", fields = { doctor = "{doctor}", date = "{date}", time = "{time}", name = "{name}", phone = "{phone}" } }
cases = [
    { of = "status", is = "created", goto = "booked" },
    { of = "status", is = "conflict", goto = "find_free" },
]
next = "trouble"
on_error = "trouble"

[nodes.booked]
type = "say"
say = ["You are booked with {doctor} on {date} at {time}."]
next = "forget"

# --- something to change -------------------------------------------------------------------------

[slots.wrong]
type = "choice"
options = [
    { value = "doctor", phrases = ["the doctor", "doctor"], key = "1" },
    { value = "day", phrases = ["the day", "day", "the date", "date"], key = "2" },
    { value = "time", phrases = ["the time", "time"], key = "3" },
    { value = "name", phrases = ["the name", "name", "my name"], key = "4" },
    { value = "phone", phrases = ["the phone number", "phone number", "the number"], key = "5" },
]

[nodes.ask_what_is_wrong]
type = "ask"
ask = ["What should I change: the doctor, the day, the time, the name or the phone number?"]
again = ["Doctor, day, time, name or phone number?"]
expect = ["wrong"]
next = "by_wrong"

[nodes.by_wrong]
type = "branch"
cases = [
    { of = "wrong", is = "doctor", goto = "change_doctor" },
    { of = "wrong", is = "day", goto = "change_day" },
    { of = "wrong", is = "time", goto = "change_time" },
    { of = "wrong", is = "name", goto = "change_name" },
]
otherwise = "change_phone"

[nodes.change_doctor]
type = "set"
clear = ["wrong", "doctor"]
next = "ask_doctor"

[nodes.change_day]
type = "set"
clear = ["wrong", "date", "time"]
next = "ask_date"

[nodes.change_time]
type = "set"
clear = ["wrong", "time"]
next = "ask_time"

[nodes.change_name]
type = "set"
clear = ["wrong", "name"]
next = "ask_name"

[nodes.change_phone]
type = "set"
clear = ["wrong", "phone"]
next = "ask_phone"

# --- the time is taken ---------------------------------------------------------------------------

[nodes.find_free]
type = "tool"
tool = "record_next_free"
arguments = { collection = "appointments", filter = { doctor = "{doctor}" }, date = "{date}", time = "{time}", hours = "{@hours}", step_minutes = 30 }
save = { free_date = "date", free_time = "time" }
cases = [{ of = "status", is = "found", goto = "offer" }]
next = "nothing_free"
on_error = "trouble"

[nodes.offer]
type = "confirm"
ask = ["I'm sorry, that time is taken. {doctor} is free on {free_date:date} at {free_time:time}. Would that suit you?"]
again = ["{free_date:date}, at {free_time:time}. Would that suit you?"]
help = ["Say yes to take it, or no to choose another day."]
keys = true
yes = "take_offer"
no = "change_day"

[nodes.take_offer]
type = "set"
set = { date = "{free_date}", time = "{free_time}" }
next = "slot_free"

[nodes.nothing_free]
type = "say"
say = ["I'm sorry, nothing is free around that day."]
next = "change_day"

# --- finding an appointment ----------------------------------------------------------------------

# A day or time said with "move" is the new one, and waits until the old one is found.
[nodes.set_aside]
type = "set"
set = { new_date = "{date}", new_time = "{time}" }
clear = ["date", "time", "doctor"]
next = "ask_phone_to_find"

[nodes.ask_phone_to_find]
type = "ask"
ask = ["Of course. What is the ten digit phone number of the appointment? You can also key it in."]
again = ["Please say or key in all ten digits of the phone number."]
help = ["It is the number you gave when you booked."]
expect = ["phone"]
next = "find"

[nodes.find]
type = "tool"
tool = "record_find"
arguments = { collection = "appointments", filter = { phone = "{phone}" } }
save = { appointment = "record.id", doctor = "record.doctor", old_date = "record.date", old_time = "record.time" }
cases = [{ of = "status", is = "found", goto = "found" }]
next = "not_found"
on_error = "trouble"

[nodes.not_found]
type = "say"
say = ["I can't find an appointment under {phone:digits}."]
next = "forget"

[nodes.found]
type = "branch"
cases = [{ of = "intent", is = "cancel", goto = "confirm_cancel" }]
otherwise = "take_up"

# --- moving --------------------------------------------------------------------------------------

[nodes.take_up]
type = "set"
set = { date = "{new_date}", time = "{new_time}" }
next = "say_found"

[nodes.say_found]
type = "say"
say = ["I have you with {doctor} on {old_date:date} at {old_time:time}."]
next = "ask_new_date"

[nodes.ask_new_date]
type = "ask"
ask = ["Which day would you like instead?"]
again = ["Which day, please?"]
help = ["You can say a weekday, such as next Tuesday, or a date."]
expect = ["date"]
also = ["time"]
next = "ask_time"

[nodes.confirm_move]
type = "confirm"
ask = ["I'll move you to {date} at {time}, with {doctor}. Is that right?"]
keys = true
yes = "move"
no = "change_day"

[nodes.move]
type = "tool"
tool = "record_update"
arguments = { collection = "appointments", id = "{appointment}", changes = { date = "{date}", time = "{time}" } }
cases = [
    { of = "status", is = "updated", goto = "moved" },
    { of = "status", is = "conflict", goto = "find_free" },
]
next = "trouble"
on_error = "trouble"

[nodes.moved]
type = "say"
say = ["Your appointment is now on {date} at {time}."]
next = "forget"

# --- cancelling ----------------------------------------------------------------------------------

[nodes.confirm_cancel]
type = "confirm"
ask = ["You are with {doctor} on {old_date:date} at {old_time:time}. Shall I cancel that?"]
again = ["Shall I cancel the appointment on {old_date:date}?"]
keys = true
yes = "cancel"
no = "kept"

[nodes.cancel]
type = "tool"
tool = "record_delete"
arguments = { collection = "appointments", id = "{appointment}" }
cases = [{ of = "status", one_of = ["deleted", "not_found"], goto = "cancelled" }]
next = "trouble"
on_error = "trouble"

[nodes.cancelled]
type = "say"
say = ["Your appointment is cancelled."]
next = "forget"

[nodes.kept]
type = "say"
say = ["All right, I have left it as it is."]
next = "forget"

# --- closing -------------------------------------------------------------------------------------

[nodes.forget]
type = "set"
clear = ["intent", "doctor", "date", "time", "name", "phone", "wrong", "more", "new_date", "new_time"]
next = "ask_more"

[slots.more]
type = "yes_no"
keys = true

[nodes.ask_more]
type = "ask"
ask = ["Is there anything else I can do for you?"]
expect = ["more"]
also = ["intent"]
next = "by_more"
fallback = "farewell"

[nodes.by_more]
type = "branch"
cases = [
    { of = "intent", known = true, goto = "by_intent" },
    { of = "more", is = true, goto = "ask_intent" },
]
otherwise = "farewell"

[nodes.farewell]
type = "hangup"
say = ["Thank you for calling {clinic_name}. Goodbye."]

[nodes.trouble]
type = "say"
say = ["I'm sorry, I can't reach the appointment book right now."]
next = "to_operator"

[nodes.to_operator]
type = "transfer"
say = ["One moment, I'll put you through to the front desk."]
target = "{operator_number}"
on_failure = "operator_busy"

[nodes.operator_busy]
type = "hangup"
say = ["I'm sorry, nobody is free at the moment. Please call again later. Goodbye."]
`)},{id:`reception`,title:`Small reception`,about:`A workflow of a few nodes that takes a message: a start for one of your own.`,name:`Reception`,workflow:Zt(`id = "reception"
name = "Reception"
language = "en-US"
start = "welcome"

[variables]
company = "our office"

[[collections]]
name = "messages"

[policy]
tries_max = 3
fallback = "give_up"
no_match = ["Sorry, I didn't catch that."]
silence = ["Are you still there?"]

[[commands]]
name = "repeat"
phrases = ["repeat", "say that again"]
key = "*"
do = "repeat"

[slots.topic]
type = "choice"
options = [
  { value = "sales", say = "sales", phrases = ["sales", "i want to buy something"], key = "1" },
  { value = "support", say = "support", phrases = ["support", "i need help"], key = "2" },
]

[nodes.welcome]
type = "say"
say = ["Welcome to {company}."]
next = "ask_topic"

[nodes.ask_topic]
type = "ask"
ask = ["Is it about sales or support?"]
again = ["Sales or support?"]
expect = ["topic"]
next = "confirm"

[nodes.confirm]
type = "confirm"
ask = ["Shall {topic} call you back?"]
keys = true
yes = "keep"
no = "goodbye"

[nodes.keep]
type = "tool"
tool = "record_create"
arguments = { collection = "messages", fields = { topic = "{topic}", phone = "{caller}" } }
next = "thanks"
on_error = "give_up"

[nodes.thanks]
type = "hangup"
say = ["Thank you, somebody will call you back. Goodbye."]

[nodes.goodbye]
type = "hangup"
say = ["All right. Goodbye."]

[nodes.give_up]
type = "hangup"
say = ["I'm sorry, please call again later. Goodbye."]
`)},{id:`assistant`,title:`Assistant`,about:`A language model leads the conversation. Needs one to be set up, see the providers.`,name:`Assistant`,prompt:`You answer the telephone of a small shop. Answer in one or two short sentences.`,firstMessage:`Hello, how can I help?`}];function pn(){let e=U(Qe,[]),t=U(ft,[]);return W(G,{title:`Agents`,actions:W(`a`,{class:`button primary`,href:`#/agents/new`,children:`New agent`}),children:[W(J,{of:e,children:e=>e.length===0?W(q,{title:`No agents of your own yet.`,children:W(`p`,{children:W(`a`,{href:`#/agents/new`,children:`Make one of a template`})})}):W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-label":`Agents of the workspace`,children:W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Name`}),W(`th`,{scope:`col`,children:`State`}),W(`th`,{scope:`col`,children:`Led by`}),W(`th`,{scope:`col`,children:`Version`}),W(`th`,{scope:`col`,children:`Changed`})]})}),W(`tbody`,{children:e.map(e=>W(`tr`,{children:[W(`th`,{scope:`row`,children:W(`a`,{href:`#/agents/${e.id}`,children:e.name})}),W(`td`,{children:W(Y,{kind:e.is_active?`good`:`plain`,children:e.is_active?`active`:`inactive`})}),W(`td`,{children:e.workflow_id?W(`a`,{href:`#/workflows/${e.workflow_id}`,children:`a workflow`}):`a language model`}),W(`td`,{children:e.version}),W(`td`,{children:B(e.updated_at)})]},e.id))})]})})}),t.data&&t.data.length>0&&W(`section`,{"aria-labelledby":`configured`,children:[W(`h2`,{id:`configured`,children:`Of the configuration file`}),W(`ul`,{class:`cards`,children:t.data.map(e=>W(`li`,{class:`card`,children:[W(`div`,{children:[W(`span`,{class:`strong`,children:e.name}),` `,W(`code`,{children:e.id}),W(`p`,{class:`quiet`,children:e.available?[e.language,e.stt,e.llm,e.tts].filter(Boolean).join(` · `):`could not be set up; the server's log says why`})]}),W(Y,{kind:e.available?`good`:`bad`,children:e.available?`available`:`unavailable`})]},e.id))})]})]})}function mn(){let[e,t]=F(fn[0]),[n,r]=F(e.name),[i,a]=F(),[o,s]=F(!1),c=async t=>{t.preventDefault(),s(!0),a(void 0);try{let t=e.workflow&&await ct(n,e.workflow);gt(`/agents/${(await et({agent:{name:n,...t&&{workflow_id:t.id},...e.firstMessage&&{first_response_message:e.firstMessage}},...e.prompt&&{agent_model_config:{system_prompt:e.prompt}}})).agent.id}`)}catch(e){a(e),s(!1)}};return W(G,{title:`New agent`,children:W(`form`,{class:`form`,onSubmit:e=>void c(e),children:[W(`fieldset`,{class:`choices`,children:[W(`legend`,{children:`Template`}),fn.map(i=>W(`label`,{class:`choice`,children:[W(`input`,{type:`radio`,name:`template`,checked:e===i,onChange:()=>{n===e.name&&r(i.name),t(i)}}),W(`span`,{children:[W(`span`,{class:`strong`,children:i.title}),W(`small`,{children:i.about})]})]},i.id))]}),W(X,{label:`Name`,children:W(`input`,{required:!0,maxLength:200,value:n,onInput:e=>r(e.currentTarget.value)})}),i&&W(K,{problem:i}),W(`div`,{class:`actions`,children:[W(`button`,{class:`primary`,disabled:o,children:`Create`}),W(`a`,{class:`button`,href:`#/agents`,children:`Cancel`})]})]})})}var hn=async e=>(await e).data,gn=()=>hn(z(`GET`,`/api/v1/batch-call/me`)),_n=e=>hn(z(`GET`,`/api/v1/batch-call/${e}/status`)),vn=e=>hn(z(`POST`,`/api/v1/batch-call/create`,e)),yn=(e,t)=>hn(z(`POST`,`/api/v1/batch-call/${t}/${e}`)),bn=e=>z(`DELETE`,`/api/v1/batch-call/${e}`),xn=e=>hn(z(`GET`,`/api/v1/batch-call/${e}/data?limit=500`)),Sn=(e,t,n)=>hn(z(`POST`,`/api/v1/batch-call/upload/${e}?preview=${n}`,t)),Cn=()=>R(`GET`,`/phonenumbers`),wn=e=>R(`POST`,`/phonenumbers/sip_trunk`,e),Tn=(e,t)=>R(`PUT`,`/phonenumbers/map_agent`,{phone_number:e,agent_id:t}),En=e=>R(`DELETE`,`/phonenumbers/delete_sip/${encodeURIComponent(e)}`),Dn=()=>z(`GET`,`/endpoints`),On=e=>z(`POST`,`/endpoints`,e),kn=(e,t)=>z(`PATCH`,`/endpoints/${e}`,{status:t}),An=e=>z(`DELETE`,`/endpoints/${e}`),jn=2e3;function Mn(){let e=U(gn,[]);return W(G,{title:`Batches`,actions:W(`a`,{class:`button primary`,href:`#/batches/new`,children:`New batch`}),children:W(J,{of:e,children:e=>e.length===0?W(q,{title:`No batches yet.`,children:W(`p`,{children:`A batch calls a list of people, in their hours and at the pace that is set.`})}):W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-label":`Batches`,children:W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Name`}),W(`th`,{scope:`col`,children:`State`}),W(`th`,{scope:`col`,children:`At a time`}),W(`th`,{scope:`col`,children:`Made`})]})}),W(`tbody`,{children:e.map(e=>W(`tr`,{children:[W(`th`,{scope:`row`,children:W(`a`,{href:`#/batches/${e.id}`,children:e.batch_name})}),W(`td`,{children:W(Nn,{batch:e})}),W(`td`,{children:e.batch_size}),W(`td`,{children:B(e.created_at)})]},e.id))})]})})})})}function Nn({batch:e}){return W(Y,{kind:e.status===`completed`?`good`:e.status===`in_progress`?`busy`:`plain`,children:H(e.status)})}function Pn(){let e=U(()=>Promise.all([Qe(),Cn()]),[]),[t,n]=F(),r=async e=>{e.preventDefault();let t=new FormData(e.currentTarget),r=e=>String(t.get(e)??``).trim();try{gt(`/batches/${(await vn({batch_name:r(`name`),agent_id:r(`agent`),caller_phone_id:r(`line`),batch_size:Number(r(`size`)),variable_names:r(`variables`).split(`,`).map(e=>e.trim()).filter(Boolean),...r(`hours`)&&{calling_hours:r(`hours`)},...r(`zone`)&&{time_zone:r(`zone`)}})).id}`)}catch(e){n(e)}};return W(G,{title:`New batch`,children:W(J,{of:e,children:([e,n])=>e.length===0||n.length===0?W(q,{title:e.length===0?`A batch needs an agent that calls.`:`A batch needs a number to call from.`,children:W(`p`,{children:e.length===0?W(`a`,{href:`#/agents/new`,children:`Make an agent`}):W(`a`,{href:`#/numbers`,children:`Register a number with its trunk`})})}):W(`form`,{class:`form`,onSubmit:e=>void r(e),children:[W(X,{label:`Name`,children:W(`input`,{name:`name`,required:!0,maxLength:200})}),W(X,{label:`Agent`,children:W(`select`,{name:`agent`,children:e.map(({id:e,name:t})=>W(`option`,{value:e,children:t},e))})}),W(X,{label:`Calls from`,children:W(`select`,{name:`line`,children:n.map(({id:e,phone_number:t})=>W(`option`,{value:e,children:t},e))})}),W(X,{label:`Calls at a time`,children:W(`input`,{name:`size`,type:`number`,min:1,max:1e4,defaultValue:`1`,required:!0})}),W(X,{label:`Variables`,hint:`columns of the list that the agent's texts use, separated by commas`,children:W(`input`,{name:`variables`})}),W(X,{label:`Calling hours`,hint:`like mon-fri 09:00-18:00; the installation's otherwise`,children:W(`input`,{name:`hours`})}),W(X,{label:`Time zone`,hint:`of those called, like Asia/Kolkata`,children:W(`input`,{name:`zone`})}),t&&W(K,{problem:t}),W(`div`,{class:`actions`,children:[W(`button`,{class:`primary`,children:`Create`}),W(`a`,{class:`button`,href:`#/batches`,children:`Cancel`})]})]})})})}function Fn({id:e}){let t=U(()=>_n(e),[e]),[n,r]=F(),i=t.data?.batch.status===`in_progress`||(t.data?.status_counts.calling??0)>0;I(()=>{if(!i)return;let e=setInterval(()=>document.hidden||t.reload(),jn);return()=>clearInterval(e)},[i,t.reload]);let a=e=>void e.then(()=>{r(void 0),t.reload()},r),o=t.data?.batch.status,s=(t,n,r=!1)=>W(`button`,{type:`button`,class:r?`primary`:``,onClick:()=>a(yn(e,t)),children:n});return W(G,{title:t.data?.batch.batch_name??`Batch`,actions:W(y,{children:[o===`not_started`&&s(`start`,`Start`,!0),o===`in_progress`&&s(`pause`,`Pause`),o===`paused`&&s(`resume`,`Resume`,!0),(o===`in_progress`||o===`paused`)&&s(`cancel`,`Cancel the batch`),o!==`in_progress`&&W(`button`,{class:`danger`,type:`button`,onClick:()=>window.confirm(`Delete this batch with its list?`)&&void bn(e).then(()=>gt(`/batches`),r),children:`Delete`})]}),children:[n&&W(K,{problem:n}),W(J,{of:t,children:({batch:n,status_counts:r})=>W(y,{children:[W(Ln,{counts:r}),W(Et,{of:[[`State`,W(Nn,{batch:n})],[`Reason`,n.status_reason&&H(n.status_reason)],[`Calls at a time`,n.batch_size],[`Started`,B(n.started_at)],[`Completed`,B(n.completed_at)],[`Variables`,n.variable_names.join(`, `)||`none`]]}),n.status===`not_started`&&W(Rn,{id:e,onKept:t.reload}),W(zn,{id:e,counts:r})]})})]})}var In=[[`completed`,`reached`,`voice`],[`calling`,`on the line`,`model`],[`no_answer`,`no answer`,`wait`],[`failed`,`failed`,`failed`],[`not_started`,`waiting`,`out`]];function Ln({counts:e}){return W(y,{children:[W(`div`,{class:`bar-line progress`,role:`img`,"aria-label":In.map(([t,n])=>`${e[t].toLocaleString()} ${n}`).join(`, `),children:e.total>0&&In.map(([t,,n])=>W(`i`,{class:`span ${n}`,style:{width:`${e[t]/e.total*100}%`}},t))}),W(`ul`,{class:`legend`,children:[In.map(([t,n,r])=>W(`li`,{children:[W(`i`,{class:`span ${r}`}),` `,e[t].toLocaleString(),` `,n]},t)),W(`li`,{children:[e.total.toLocaleString(),` in all`]})]})]})}function Rn({id:e,onKept:t}){let[n,r]=F(),[i,a]=F(),[o,s]=F(),[c,l]=F(),[u,d]=F(!1),f=async t=>{r(t),a(void 0),s(void 0),l(void 0),t&&(d(!0),await Sn(e,new Blob([t],{type:`text/csv`}),!0).then(a,l),d(!1))},p=async()=>{n&&(d(!0),await Sn(e,new Blob([n],{type:`text/csv`}),!1).then(e=>{s(e),a(void 0),t()},l),d(!1))};return W(`section`,{"aria-labelledby":`upload`,children:[W(`h2`,{id:`upload`,children:`Add people`}),W(X,{label:`List (CSV with the column to_phonenumber)`,children:W(`input`,{type:`file`,accept:`.csv,text/csv`,onChange:e=>void f(e.currentTarget.files?.[0])})}),W(`div`,{role:`status`,children:[u&&W(`p`,{class:`quiet`,children:`Reading the list…`}),o&&W(`p`,{children:[o.inserted.toLocaleString(),` people were added`,o.failed>0&&`, ${o.failed.toLocaleString()} rows were left out`,`.`]})]}),c&&W(K,{problem:c}),i&&W(`div`,{class:`note`,children:[W(`p`,{class:`strong`,children:[i.inserted.toLocaleString(),` rows are good, `,i.failed.toLocaleString(),` are not.`]}),i.errors.length>0&&W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-label":`Rows with mistakes`,children:W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Row`}),W(`th`,{scope:`col`,children:`Mistake`})]})}),W(`tbody`,{children:i.errors.slice(0,100).map(({row:e,error:t})=>W(`tr`,{children:[W(`th`,{scope:`row`,children:e}),W(`td`,{children:t})]},e))})]})}),W(`div`,{class:`actions`,children:W(`button`,{class:`primary`,type:`button`,disabled:u||i.inserted===0,onClick:()=>void p(),children:[`Add the `,i.inserted.toLocaleString(),` good rows`]})})]})]})}function zn({id:e,counts:t}){let n=U(()=>xn(e),[e,JSON.stringify(t)]);return W(`section`,{"aria-labelledby":`people`,children:[W(`h2`,{id:`people`,children:`People`}),W(J,{of:n,children:e=>e.length===0?W(q,{title:`Nobody is on the list yet.`}):W(y,{children:[t.total>e.length&&W(`p`,{class:`quiet`,children:[`The first `,e.length,` of `,t.total.toLocaleString(),`.`]}),W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-labelledby":`people`,children:W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Number`}),W(`th`,{scope:`col`,children:`State`}),W(`th`,{scope:`col`,children:`Attempts`}),W(`th`,{scope:`col`,children:`Reason`}),W(`th`,{scope:`col`,children:`Call`})]})}),W(`tbody`,{children:e.map(e=>W(`tr`,{children:[W(`th`,{scope:`row`,children:e.to_phonenumber}),W(`td`,{children:W(Y,{kind:e.status===`completed`?`good`:e.status===`failed`?`bad`:`plain`,children:H(e.status)})}),W(`td`,{children:e.attempts}),W(`td`,{children:e.error_message??(e.reason&&H(e.reason))??`–`}),W(`td`,{children:e.call_session_id?W(`a`,{href:`#/calls/${e.call_session_id}`,children:`look`}):`–`})]},e.id))})]})})]})})]})}function Bn(e,t,n){let r=new URLSearchParams(e);return r.set(`page`,String(t)),r.set(`page_size`,String(n)),R(`GET`,`/calls?${r}`)}var Vn=e=>R(`GET`,`/v1/calls/${e}`),Hn=e=>R(`POST`,`/v1/calls/${e}/hangup`),Un=e=>`/v1/calls/${e}/recording`;async function Wn(e,t,n,r){let i=0;for(;;){try{let a=i?{"last-event-id":String(i)}:{},o=await qe(`/v1/calls/${e}/events`,{headers:a,signal:r}),s=!t;if(await Gn(o,e=>{for(let t of e)i=t.number??i,s||=t.type===`closed`;n(e)}),s)return}catch(e){if(r.aborted)return;if(!(e instanceof TypeError))throw e}if(await new Promise(e=>setTimeout(e,1e3)),r.aborted)return}}async function Gn(e,t){let n=e.body?.pipeThrough(new TextDecoderStream).getReader(),r=``;for(;;){let e=await n?.read();if(!e||e.done)return;let i=(r+e.value).split(`

`);r=i.pop()??``;let a=i.flatMap(e=>{let t=e.split(`
`).filter(e=>e.startsWith(`data:`)).map(e=>e.slice(5).trimStart()).join(`
`);return t?[JSON.parse(t)]:[]});a.length&&t(a)}}var Kn=new Set([`turn`,`caller_partial`,`state`,`closed`]);function qn({events:e,began:t}){let n=e.filter(e=>!Kn.has(e.type));if(!n.length)return W(q,{title:`Nothing but speech.`});let r=new Date(t).getTime();return W(`ol`,{class:`events`,children:n.map((e,t)=>W(`li`,{class:e.is_error===!0||e.type===`provider_fault`?`bad`:``,children:[W(`span`,{class:`time`,children:V(new Date(e.at).getTime()-r)}),W(`span`,{class:`strong`,children:H(e.type)}),W(Jn,{event:e})]},e.number??`live-${t}`))})}function Jn({event:e}){let{number:t,at:n,type:r,...i}=e;if(r===`tool`){let e=i.duration_ms;return W(`details`,{children:[W(`summary`,{children:[String(i.name),` `,i.is_error===!0&&`failed`,typeof e==`number`&&W(`span`,{class:`quiet`,children:[` `,e,` ms`]})]}),W(`pre`,{tabIndex:0,children:Yn(i.arguments)}),W(`pre`,{tabIndex:0,children:Yn(i.result)})]})}return W(`span`,{children:Object.entries(i).filter(([,e])=>e!=null).map(([e,t])=>`${H(e)} ${typeof t==`object`?JSON.stringify(t):String(t)}`).join(`, `)})}function Yn(e){if(typeof e==`string`)try{return JSON.stringify(JSON.parse(e),null,2)}catch{return e}return JSON.stringify(e,null,2)??``}function Xn(e){let t=new DataView(e),n=t=>String.fromCharCode(...new Uint8Array(e,t,4));if(e.byteLength<12||n(0)!==`RIFF`||n(8)!==`WAVE`)throw Error(`The recording is no WAV file.`);let r=0,i=0;for(let a=12;a+8<=e.byteLength;){let o=t.getUint32(a+4,!0);if(n(a)===`fmt `&&(i=t.getUint16(a+10,!0),r=t.getUint32(a+12,!0)),n(a)===`data`&&i>0){let t=Math.min(o,e.byteLength-a-8),n=new Int16Array(e.slice(a+8,a+8+t-t%2));return{rate:r,channels:i,samples:n}}a+=8+o+o%2}throw Error(`The recording has no sound.`)}function Zn(e,t,n){let r=Math.floor(e.samples.length/e.channels),i=new Float32Array(n*2);for(let a=0;a<n;a+=1){let o=Math.floor(a*r/n),s=Math.floor((a+1)*r/n),c=0,l=0;for(let n=o;n<s;n+=1){let r=e.samples[n*e.channels+t]??0;r<c&&(c=r),r>l&&(l=r)}i[a*2]=c/32768,i[a*2+1]=l/32768}return i}var Qn=6e5;function $n(e){let{call:t}=e,[n,r]=F((t.recording?.duration_ms??0)<=Qn),[i,a]=F(),[o,s]=F(),c=t.recording!==null;I(()=>{if(!c||!n)return;let e=new AbortController,r;return qe(Un(t.id),{signal:e.signal}).then(e=>e.arrayBuffer()).then(e=>{let t=Xn(e);r=URL.createObjectURL(new Blob([e],{type:`audio/wav`})),a({wave:t,url:r})}).catch(t=>e.signal.aborted||s(t)),()=>{e.abort(),r&&URL.revokeObjectURL(r)}},[t.id,c,n]);let l;return l=c?o?W(K,{problem:o}):i?W(er,{...e,wave:i.wave,url:i.url}):n?W(`div`,{class:`note waiting`,role:`status`,children:`Loading the recording…`}):W(q,{title:`The recording is ${V(t.recording?.duration_ms)} long.`,children:W(`button`,{type:`button`,onClick:()=>r(!0),children:`Load it`})}):W(q,{title:`The call was not recorded.`}),W(`section`,{class:`player`,"aria-label":`Recording`,children:l})}function er(e){let{wave:t,url:n,turns:r,onPosition:i}=e,a=L(null),o=L(null),[s,c]=F(0),[l,u]=F(!1),d=t.samples.length/t.channels/t.rate*1e3,f=e=>{o.current&&(o.current.currentTime=e/1e3),c(e),i(e)};return e.seek.current=e=>{f(e),o.current?.play()},I(()=>{let e=a.current;if(!e)return;let n=()=>tr(e,t,r,d);n();let i=new ResizeObserver(n);i.observe(e);let o=window.matchMedia(`(prefers-color-scheme: dark)`);return o.addEventListener(`change`,n),()=>{i.disconnect(),o.removeEventListener(`change`,n)}},[t,r]),I(()=>{if(!l)return;let e=0,t=()=>{let n=(o.current?.currentTime??0)*1e3;c(n),i(n),e=requestAnimationFrame(t)};return e=requestAnimationFrame(t),()=>cancelAnimationFrame(e)},[l]),W(y,{children:[W(`audio`,{ref:o,src:n,onPlay:()=>u(!0),onPause:()=>u(!1),onEnded:()=>u(!1)}),W(`div`,{class:`waves`,children:[W(`span`,{class:`channel caller`,children:`caller`}),W(`span`,{class:`channel agent`,children:`agent`}),W(`canvas`,{ref:a,"aria-hidden":`true`}),W(`div`,{class:`playhead`,style:{left:`${s/Math.max(1,d)*100}%`}}),W(`input`,{type:`range`,min:0,max:Math.ceil(d),step:100,value:Math.round(s),"aria-label":`Position in the recording`,"aria-valuetext":`${V(s)} of ${V(d)}`,onInput:e=>f(Number(e.currentTarget.value))})]}),W(`div`,{class:`controls`,children:[W(`button`,{type:`button`,class:`primary`,onClick:()=>void(l?o.current?.pause():o.current?.play()),children:l?`Pause`:`Play`}),W(`span`,{class:`number`,children:[V(s),` / `,V(d)]}),W(`a`,{class:`button`,href:n,download:e.call.recording?.file,children:`Download`})]})]})}function tr(e,t,n,r){let i=window.devicePixelRatio||1,a=Math.round(e.clientWidth*i),o=Math.round(e.clientHeight*i),s=e.getContext(`2d`);if(!s||!a||!o)return;e.width=a,e.height=o;let c=getComputedStyle(e),l=Math.min(2,t.channels),u=o/l;for(let e=0;e<l;e+=1){s.fillStyle=c.getPropertyValue(e===0?`--caller`:`--agent`),s.globalAlpha=.14;for(let t of n){if(t.speaker===`caller`!=(e===0))continue;let n=t.start_ms/r*a;s.fillRect(n,e*u,Math.max(1,t.end_ms/r*a-n),u)}s.globalAlpha=1;let i=Zn(t,e,a),o=e*u+u/2;for(let e=0;e<a;e+=1){let t=i[e*2]??0,n=i[e*2+1]??0,r=o-n*u*.48;s.fillRect(e,r,1,Math.max(1,(n-t)*u*.48))}}}function nr(e){return!e.turns.length&&!e.partial?W(q,{title:e.live?`Nothing has been said yet.`:`Nothing was said.`}):W(`ol`,{class:`transcript`,"aria-live":e.live?`polite`:void 0,children:[e.turns.map((t,n)=>{let r=e.position>0&&e.position>=t.start_ms&&e.position<t.end_ms,i=V(t.start_ms);return W(`li`,{class:`turn ${t.speaker}`,"aria-current":r||void 0,children:[e.onSeek?W(`button`,{class:`time`,type:`button`,onClick:()=>e.onSeek?.(t.start_ms),"aria-label":`Play from ${i}`,children:i}):W(`span`,{class:`time`,children:i}),W(`span`,{class:`speaker`,children:t.speaker}),W(`p`,{children:[t.text||W(`em`,{children:`inaudible`}),` `,t.interrupted&&W(Y,{kind:`plain`,children:`interrupted`}),t.dtmf&&W(Y,{kind:`plain`,children:`keys`})]})]},n)}),e.partial&&W(`li`,{class:`turn caller partial`,children:[W(`span`,{class:`time`,children:`…`}),W(`span`,{class:`speaker`,children:`caller`}),W(`p`,{children:e.partial})]})]})}var rr=[[`vad_lag`,`end of speech seen`,`speech`],[`endpoint_wait`,`wait for more`,`wait`],[`dispatch`,`request`,`model`],[`llm_ttft`,`first token`,`model`],[`chunking`,`first sentence`,`model`],[`tts_ttfb`,`first audio of the voice`,`voice`],[`lead_silence`,`silence before the first sound`,`voice`],[`gate_hold`,`held back`,`out`],[`out_queue`,`to the wire`,`out`],[`carrier`,`on the way`,`out`]],ir=[[`speech`,`end of speech`],[`wait`,`end of turn`],[`model`,`model or workflow`],[`voice`,`voice`],[`out`,`sending`]];function ar({turns:e}){let t=e.flatMap(e=>e.timings?[{turn:e,timings:e.timings}]:[]);if(!t.length)return W(q,{title:`No answered turn was timed.`});let n=Math.max(1,...t.map(({timings:e})=>e.voice_to_voice)),r=e=>`${Math.max(0,e)/n*100}%`;return W(y,{children:[W(`ul`,{class:`legend`,children:ir.map(([e,t])=>W(`li`,{children:[W(`i`,{class:`span ${e}`}),` `,t]},e))}),W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-labelledby":`latency`,children:W(`table`,{class:`waterfall`,children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`At`}),W(`th`,{scope:`col`,children:`Spans`}),W(`th`,{scope:`col`,class:`number`,children:`Total`})]})}),W(`tbody`,{children:t.map(({turn:e,timings:t},n)=>W(`tr`,{children:[W(`th`,{scope:`row`,children:V(e.start_ms)}),W(`td`,{children:[W(`div`,{class:`bar-line`,role:`img`,"aria-label":or(t),children:rr.map(([e,n,i])=>t[e]>0?W(`i`,{class:`span ${i}`,style:{width:r(t[e])},title:`${n}: ${St(t[e])}`},e):null)}),W(`details`,{children:[W(`summary`,{children:`Details`}),W(`dl`,{class:`spans`,children:[rr.map(([e,n,r])=>W(`div`,{children:[W(`dt`,{children:[W(`i`,{class:`span ${r}`}),` `,n]}),W(`dd`,{children:St(t[e])})]},e)),t.stt_ttfs!==null&&W(`div`,{children:[W(`dt`,{children:`final text, within the wait`}),W(`dd`,{children:St(t.stt_ttfs)})]})]})]})]}),W(`td`,{class:`number`,children:St(t.voice_to_voice)})]},n))})]})})]})}function or(e){return rr.filter(([t])=>e[t]>0).map(([t,n])=>`${n} ${St(e[t])}`).join(`, `)}function sr({id:e}){let t=U(()=>Vn(e),[e]);return W(G,{title:`Call`,actions:t.data?.status===`active`&&W(`button`,{class:`danger`,type:`button`,onClick:()=>void Hn(e).finally(t.reload),children:`Hang up`}),children:W(J,{of:t,children:e=>W(cr,{call:e,reload:t.reload})})})}function cr({call:e,reload:t}){let n=pt(),[r,i]=F([]),[a,o]=F(),[s,c]=F(0),l=L(()=>{}),u=e.status===`active`;I(()=>{let n=new AbortController;return i([]),Wn(e.id,u,e=>i(t=>[...t,...e]),n.signal).then(()=>!n.signal.aborted&&u&&t(),e=>o(e)),()=>n.abort()},[e.id,u]);let d=Te(()=>u?lr(r):e.turns,[u,e.turns,r]),f=u?ur(r):void 0;return W(y,{children:[W(Et,{of:[[`State`,W(Tt,{status:e.status,outcome:e.outcome})],[`Agent`,n.get(e.agent_id)??e.agent_id],[`From`,e.caller],[`To`,e.called],[`Began`,B(e.started_at)],[`Length`,V(e.duration_ms)],[`Way`,`${e.direction}, ${e.carrier}${e.codec?`, ${e.codec}`:``}`],[`Ended by`,e.outcome&&`${H(e.outcome.class)}: ${H(e.outcome.reason)}`],[`Disposition`,e.disposition]]}),!u&&W($n,{call:e,turns:d,onPosition:c,seek:l}),W(`div`,{class:`columns`,children:[W(`section`,{"aria-labelledby":`transcript`,children:[W(`h2`,{id:`transcript`,children:`Transcript`}),W(nr,{turns:d,partial:f,live:u,position:s,onSeek:e.recording&&!u?e=>l.current(e):void 0})]}),W(`section`,{"aria-labelledby":`latency`,children:[W(`h2`,{id:`latency`,children:`Response latency by turn`}),W(ar,{turns:d})]})]}),W(`section`,{"aria-labelledby":`events`,children:[W(`h2`,{id:`events`,children:`Events`}),a&&W(K,{problem:a}),W(qn,{events:r,began:e.started_at})]}),e.statistics&&W(dr,{of:e.statistics}),W(`details`,{class:`more`,children:[W(`summary`,{children:`Identifiers`}),W(Et,{of:[[`Call`,W(`code`,{children:e.id})],[`Carrier's id`,e.carrier_call_id&&W(`code`,{children:e.carrier_call_id})],[`Recording`,e.recording&&W(`code`,{children:e.recording.file})]]})]})]})}function lr(e){return e.filter(e=>e.type===`turn`).map(e=>e)}function ur(e){for(let t=e.length-1;t>=0;--t){let n=e[t];if(n?.type===`caller_partial`)return String(n.text);if(n?.type===`turn`&&n.speaker===`caller`)return}}function dr({of:e}){let t=Object.entries(e).filter(([,e])=>typeof e==`number`);return t.length?W(`details`,{class:`more`,children:[W(`summary`,{children:`Media statistics`}),W(Et,{of:t.map(([e,t])=>[H(e),t.toLocaleString()])})]}):null}var fr=8;function pr(e){let{total:t,rowHeight:n}=e,r=L(null),[i,a]=F([0,30]),o=()=>{let e=r.current;if(!e)return;let t=Math.max(0,Math.floor(e.scrollTop/n)-fr),i=Math.ceil((e.scrollTop+e.clientHeight)/n)+fr;a(e=>e[0]===t&&e[1]===i?e:[t,i])};we(o,[t]),I(()=>(window.addEventListener(`resize`,o),()=>window.removeEventListener(`resize`,o)),[]);let s=Math.min(i[0],Math.max(0,t-1)),c=Math.min(i[1],t-1);I(()=>{t>0&&e.onRange(s,c)},[s,c,t]);let l=[];for(let t=s;t<=c;t+=1)l.push(W(`div`,{role:`row`,class:`row`,"aria-rowindex":t+2,style:{height:`${n}px`,transform:`translateY(${t*n}px)`},children:e.row(t)},t));return W(`div`,{class:`rows`,ref:r,tabIndex:0,onScroll:o,role:`table`,"aria-label":e.label,"aria-rowcount":t+1,children:[W(`div`,{role:`rowgroup`,class:`rows-head`,children:W(`div`,{class:`row head`,role:`row`,"aria-rowindex":1,children:e.head})}),W(`div`,{class:`rows-space`,role:`rowgroup`,style:{height:`${t*n}px`},children:l})]})}var mr=100,hr=48;function gr(e){let t=new URLSearchParams;for(let n of[`status`,`call_direction`,`call_type`,`agent_id`]){let r=e.get(n);r&&t.set(n,r)}let n=e.get(`from`);n&&t.set(`start_datetime`,new Date(`${n}T00:00:00`).toISOString());let r=e.get(`until`);if(r){let e=new Date(`${r}T00:00:00`);e.setDate(e.getDate()+1),t.set(`end_datetime`,e.toISOString())}return t}function _r(){let[e,t]=F(ht().query),[n,r]=F(),[i,a]=F(),o=pt(),s=L(new Set),c=L([]),l=L(!1),u=L(async()=>{}),d=L(0),f=Ee(async t=>{if(s.current.has(t))return;s.current.add(t);let n=d.current;try{let i=await Bn(gr(e),t,mr);if(n!==d.current)return;a(void 0),r(e=>{let n=new Map(e?.pages);return n.set(t,i.items),{total:i.total,pages:n}})}catch(e){if(n!==d.current)return;s.current.delete(t),a(e)}},[e]),p=Ee(async()=>{if(l.current)return;l.current=!0;let e=d.current;for(;e===d.current;){let e=c.current.find(e=>!s.current.has(e));if(e===void 0||(await f(e),!s.current.has(e)))break}l.current=!1,e!==d.current&&u.current()},[f]);u.current=p;let m=Ee(()=>{d.current+=1,s.current.clear(),r(void 0),f(1)},[f]);I(m,[m]);let h=(n,r)=>{let i=new URLSearchParams(e);r?i.set(n,r):i.delete(n),_t(`calls`,i),t(i)},g=(t,n,r)=>W(X,{label:n,children:W(`select`,{value:e.get(t)??``,onChange:e=>h(t,e.currentTarget.value),children:[W(`option`,{value:``,children:`all`}),r.map(([e,t])=>W(`option`,{value:e,children:t},e))]})}),_=(t,n)=>W(X,{label:n,children:W(`input`,{type:`date`,value:e.get(t)??``,onChange:e=>h(t,e.currentTarget.value)})}),v=[...e.keys()].length>0,b=`/calls/export?${gr(e)}`,x=n?.total;return W(G,{title:`Calls`,actions:W(y,{children:[W(`button`,{type:`button`,onClick:m,children:`Refresh`}),W(`a`,{class:`button`,href:b,download:!0,children:`Export CSV`})]}),children:[W(`form`,{class:`filters`,"aria-label":`Filter calls`,onSubmit:e=>e.preventDefault(),children:[g(`status`,`State`,[[`active`,`active`],[`ended`,`ended`]]),g(`call_direction`,`Direction`,[[`inbound`,`inbound`],[`outbound`,`outbound`]]),g(`call_type`,`Kind`,[[`phone`,`phone`],[`web`,`web`]]),g(`agent_id`,`Agent`,[...o]),_(`from`,`From`),_(`until`,`Until`),W(`p`,{class:`count`,role:`status`,children:x===void 0?`Loading…`:`${x.toLocaleString()} ${x===1?`call`:`calls`}`})]}),i&&W(K,{problem:i,retry:m}),x===0?W(q,{title:v?`No call fits the filter.`:`No calls yet.`,children:!v&&W(`p`,{children:[`Dial the agent with a softphone, or let the program call:`,` `,W(`code`,{children:`samvad call clinic --say "i'd like to book an appointment"`})]})}):W(pr,{label:`Calls`,total:x??0,rowHeight:hr,onRange:(e,t)=>{let n=[];for(let r=Math.floor(e/mr)+1;r<=Math.floor(t/mr)+1;r+=1)n.push(r);c.current=n,p()},head:vr,row:e=>{let t=n?.pages.get(Math.floor(e/mr)+1)?.[e%mr];return t?W(yr,{call:t,agent:o.get(t.agent_id)??t.agent_id}):W(`span`,{role:`cell`,class:`pending`})}})]})}var vr=[`Began`,`Agent`,`From`,`To`,`Length`,`Outcome`].map(e=>W(`span`,{role:`columnheader`,children:e},e));function yr({call:e,agent:t}){return W(y,{children:[W(`span`,{role:`cell`,children:W(`a`,{href:`#/calls/${e.id}`,title:B(e.started_at),children:xt(e.started_at)})}),W(`span`,{role:`cell`,children:t}),W(`span`,{role:`cell`,children:e.from_number??`–`}),W(`span`,{role:`cell`,children:e.to_number??`–`}),W(`span`,{role:`cell`,class:`number`,children:V(e.duration_seconds===null?null:e.duration_seconds*1e3)}),W(`span`,{role:`cell`,children:W(Tt,{status:e.status,outcome:e.outcome})})]})}function br(e){let t=new Map,n=e=>{let n=t.get(e);return n||(n={name:e,help:``,type:`untyped`,samples:[],lines:[]},t.set(e,n)),n};for(let r of e.split(`
`)){let e=/^# (HELP|TYPE) (\S+) ?(.*)$/.exec(r);if(e){let[,t,r=``,i=``]=e;t===`HELP`?n(r).help=i:n(r).type=i;continue}let i=/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(r);if(!i)continue;let[,a=``,o=``,s]=i,c=a.replace(/_(bucket|sum|count)$/,``),l=t.get(c)?.type===`histogram`?n(c):n(a);l.lines.push(r),l.samples.push({name:a,labels:Object.fromEntries([...o.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([,e=``,t=``])=>[e,t])),value:Number(s)})}return[...t.values()]}function xr(e,t){let n=new Map;for(let{name:t,labels:r,value:i}of e){if(!t.endsWith(`_bucket`))continue;let e=r.le===`+Inf`?1/0:Number(r.le);n.set(e,(n.get(e)??0)+i)}let r=[...n].sort(([e],[t])=>e-t),i=r[r.length-1]?.[1]??0;if(i===0)return;let a=t*i,o=0,s=0;for(let[e,t]of r){if(t>=a)return e===1/0?s:s+(e-s)*(a-o)/Math.max(1,t-o);o=t,s=e}return s}var Sr=5e3;async function Cr(){return await(await fetch(`/ready`)).json()}async function wr(){return br(await(await qe(`/metrics`)).text())}function Tr(){let e=U(Cr,[]),t=U(wr,[]);return I(()=>{let n=setInterval(()=>{document.hidden||(e.reload(),t.reload())},Sr);return()=>clearInterval(n)},[e.reload,t.reload]),W(G,{title:`System health`,children:[W(J,{of:e,children:({ready:e,reasons:t})=>W(`p`,{class:`readiness`,children:[W(Y,{kind:e?`good`:`bad`,children:e?`ready for calls`:`not ready`}),` `,t.join(`, `)]})}),W(J,{of:t,children:e=>W(Er,{families:e})})]})}function Er({families:e}){let[t,n]=F(``),r=t=>{let n=e.find(e=>e.name===t)?.samples??[];return n.length?n.reduce((e,t)=>e+t.value,0).toLocaleString():`–`},i=t=>{let n=e.find(e=>e.name===`samvad_turn_latency_seconds`)?.samples.filter(({labels:e})=>e.span===`voice_to_voice`),r=n&&xr(n,t);return r===void 0?`–`:`${Math.round(r*1e3)} ms`},a=e.filter(({name:e,help:n})=>`${e} ${n}`.toLowerCase().includes(t.toLowerCase()));return W(y,{children:[W(Et,{of:[[`Calls on the line`,r(`samvad_calls_active`)],[`Calls since the start`,r(`samvad_calls_total`)],[`Voice to voice, median`,i(.5)],[`Voice to voice, 95th of 100`,i(.95)],[`Provider faults`,r(`samvad_provider_faults_total`)],[`Writes that wait`,r(`samvad_store_queue`)]]}),W(`div`,{class:`filters`,children:[W(X,{label:`Search metrics`,children:W(`input`,{type:`search`,value:t,onInput:e=>n(e.currentTarget.value)})}),W(`p`,{class:`count`,role:`status`,children:[a.length,` of `,e.length]})]}),a.length===0?W(q,{title:`No metric fits.`}):W(`ul`,{class:`metrics`,children:a.map(e=>W(`li`,{children:W(`details`,{children:[W(`summary`,{children:[W(`code`,{children:e.name}),` `,W(`span`,{class:`quiet`,children:e.help})]}),W(`pre`,{tabIndex:0,children:e.lines.join(`
`)})]})},e.name))})]})}var Dr=new URLSearchParams({status:`active`}),Or=3e3;function kr(){let e=U(()=>Bn(Dr,1,100),[]),t=pt();return I(()=>{let t=setInterval(()=>document.hidden||e.reload(),Or);return()=>clearInterval(t)},[e.reload]),W(G,{title:`Live calls`,actions:W(`button`,{type:`button`,onClick:e.reload,children:`Refresh`}),children:W(J,{of:e,children:({items:n,total:r})=>r===0?W(q,{title:`No call goes on.`}):W(y,{children:[W(`p`,{class:`count`,role:`status`,children:[r===1?`1 call`:`${r} calls`,r>n.length&&`, the newest ${n.length} shown`]}),W(`ul`,{class:`cards`,children:n.map(n=>W(Ar,{call:n,agent:t.get(n.agent_id)??n.agent_id,onEnded:e.reload},n.id))})]})})})}function Ar(e){let{call:t}=e;return W(`li`,{class:`card`,children:[W(`div`,{children:[W(`a`,{class:`strong`,href:`#/calls/${t.id}`,children:t.from_number??`unknown caller`}),W(`p`,{children:[`with `,e.agent,`, since `,B(t.answered_at??t.started_at)]})]}),W(`div`,{class:`actions`,children:[W(`a`,{class:`button`,href:`#/calls/${t.id}`,children:`Follow`}),W(`button`,{class:`danger`,type:`button`,onClick:()=>void Hn(t.id).then(e.onEnded,e.onEnded),children:`Hang up`})]})]})}function jr(e){let[t,n]=F(),[r,i]=F(!1),a=async t=>{t.preventDefault();let r=new FormData(t.currentTarget);i(!0),n(void 0);try{e.onSignedIn(await He(String(r.get(`email`)),String(r.get(`password`))))}catch(e){n(e.message),i(!1)}};return W(`main`,{class:`alone`,children:W(`form`,{class:`login`,onSubmit:e=>void a(e),children:[W(`h1`,{children:[W(`img`,{src:`./icon.svg`,alt:``,width:`32`,height:`32`}),` Samvad`]}),W(X,{label:`Mail address`,children:W(`input`,{name:`email`,type:`text`,inputMode:`email`,autocomplete:`username`,required:!0,autoFocus:!0})}),W(X,{label:`Password`,children:W(`input`,{name:`password`,type:`password`,autocomplete:`current-password`,required:!0})}),W(`p`,{class:`problem-line`,role:`alert`,children:t}),W(`button`,{class:`primary`,disabled:r,children:`Sign in`}),W(`p`,{class:`quiet`,children:[W(`code`,{children:`make run`}),` prints the first account. More: `,W(`code`,{children:`samvad admin create --email you@example.org`})]})]})})}function Mr(){let e=U(Cn,[]),t=U(Dn,[]);return W(G,{title:`Numbers and trunks`,children:[W(J,{of:e,children:t=>t.length?W(Nr,{list:t,reload:e.reload}):W(q,{title:`No numbers yet.`,children:W(`p`,{children:`Register the SIP trunk that brings one, or buy one at the carrier.`})})}),W(`details`,{class:`more`,children:[W(`summary`,{children:`Register a number with its SIP trunk`}),W(Pr,{onMade:e.reload})]}),W(`section`,{"aria-labelledby":`endpoints`,children:[W(`h2`,{id:`endpoints`,children:`Endpoints`}),W(`p`,{class:`quiet`,children:`Where calls are sent on to: another platform or a SIP address.`}),W(J,{of:t,children:e=>e.length?W(Fr,{list:e,reload:t.reload}):W(q,{title:`No endpoints.`})}),W(`details`,{class:`more`,children:[W(`summary`,{children:`Add an endpoint`}),W(Lr,{onMade:t.reload})]})]})]})}function Nr({list:e,reload:t}){let n=U(Qe,[]),[r,i]=F(),a=e=>void e.then(()=>{i(void 0),t()},i);return W(y,{children:[r&&W(K,{problem:r}),W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-label":`Numbers`,children:W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Number`}),W(`th`,{scope:`col`,children:`Answered by`}),W(`th`,{scope:`col`,children:`Trunk`}),W(`th`,{scope:`col`,children:`State`}),W(`th`,{scope:`col`,children:W(`span`,{class:`unseen`,children:`Action`})})]})}),W(`tbody`,{children:e.map(e=>W(`tr`,{children:[W(`th`,{scope:`row`,children:[e.phone_number,e.label&&W(`small`,{children:[` `,e.label]})]}),W(`td`,{children:W(`select`,{"aria-label":`Agent of ${e.phone_number}`,value:e.agent_id??``,onChange:t=>t.currentTarget.value&&a(Tn(e.phone_number,t.currentTarget.value)),children:[W(`option`,{value:``,children:`nobody`}),(n.data??[]).map(t=>W(`option`,{value:t.id,selected:t.id===e.agent_id,children:t.name},t.id))]})}),W(`td`,{children:e.sip_address?W(`code`,{children:e.sip_address}):e.provider}),W(`td`,{children:W(Y,{kind:e.is_active?`good`:`plain`,children:e.is_active?`active`:`inactive`})}),W(`td`,{class:`number`,children:W(`button`,{class:`danger`,type:`button`,onClick:()=>window.confirm(`Remove ${e.phone_number} with its trunk?`)&&a(En(e.phone_number)),children:`Remove`})})]},e.id))})]})})]})}function Pr({onMade:e}){let[t,n]=F(),r=async t=>{t.preventDefault();let r=t.currentTarget,i=new FormData(r),a=e=>String(i.get(e)??``).trim(),o=e=>a(e)?{[e]:a(e)}:{};try{await wn({phone_number:a(`phone_number`),sip_address:a(`sip_address`),...o(`auth_username`),...o(`auth_password`),...o(`label`)}),r.reset(),n(void 0),e()}catch(e){n(e)}};return W(`form`,{class:`form`,onSubmit:e=>void r(e),children:[W(X,{label:`Number`,hint:`E.164, like +15550100100`,children:W(`input`,{name:`phone_number`,inputMode:`tel`,required:!0})}),W(X,{label:`Address of the trunk`,hint:`host or host:port of the carrier`,children:W(`input`,{name:`sip_address`,required:!0})}),W(X,{label:`User name`,children:W(`input`,{name:`auth_username`,autocomplete:`off`})}),W(X,{label:`Password`,hint:`kept sealed, never shown again`,children:W(`input`,{name:`auth_password`,type:`password`,autocomplete:`new-password`})}),W(X,{label:`Label`,children:W(`input`,{name:`label`})}),t&&W(K,{problem:t}),W(`div`,{class:`actions`,children:W(`button`,{class:`primary`,children:`Register`})})]})}function Fr({list:e,reload:t}){let[n,r]=F(),i=e=>void e.then(()=>{r(void 0),t()},r);return W(y,{children:[n&&W(K,{problem:n}),W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-label":`Endpoints`,children:W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Name`}),W(`th`,{scope:`col`,children:`Type`}),W(`th`,{scope:`col`,children:`Address`}),W(`th`,{scope:`col`,children:`State`}),W(`th`,{scope:`col`,children:W(`span`,{class:`unseen`,children:`Actions`})})]})}),W(`tbody`,{children:e.map(e=>W(`tr`,{children:[W(`th`,{scope:`row`,children:e.name}),W(`td`,{children:e.type}),W(`td`,{children:W(`code`,{children:e.url})}),W(`td`,{children:W(Y,{kind:e.status===`active`?`good`:e.status===`error`?`bad`:`plain`,children:e.status})}),W(`td`,{children:W(`div`,{class:`actions`,children:[W(`button`,{type:`button`,onClick:()=>i(kn(e.id,e.status===`active`?`inactive`:`active`)),children:e.status===`active`?`Pause`:`Activate`}),W(`button`,{class:`danger`,type:`button`,onClick:()=>window.confirm(`Delete ${e.name}?`)&&i(An(e.id)),children:`Delete`})]})})]},e.id))})]})})]})}var Ir=[`custom_sip`,`webhook`,`vapi`,`retell`,`livekit`,`elevenlabs`,`vogent`];function Lr({onMade:e}){let[t,n]=F(),[r,i]=F(),a=async t=>{t.preventDefault();let r=t.currentTarget,a=new FormData(r);try{let t=await On({name:String(a.get(`name`)),type:String(a.get(`type`)),url:String(a.get(`url`))});r.reset(),n(void 0),i(t.secret),e()}catch(e){n(e)}};return W(`form`,{class:`form`,onSubmit:e=>void a(e),children:[W(X,{label:`Name`,children:W(`input`,{name:`name`,required:!0,maxLength:100})}),W(X,{label:`Type`,children:W(`select`,{name:`type`,children:Ir.map(e=>W(`option`,{children:e},e))})}),W(X,{label:`Address`,hint:`a SIP URI in which {number} stands for the number called; for a webhook an https URL`,children:W(`input`,{name:`url`,required:!0})}),t&&W(K,{problem:t}),r&&W(Dt,{label:`Signing secret`,value:r}),W(`div`,{class:`actions`,children:W(`button`,{class:`primary`,children:`Add`})})]})}var Rr=()=>R(`GET`,`/workspaces`),zr=e=>R(`POST`,`/workspaces/switch`,{workspace_id:e}),Br=e=>R(`GET`,`/workspaces/${e}/members`),Vr=(e,t,n)=>R(`POST`,`/workspaces/${e}/invite`,{email:t,role:n}),Hr=(e,t)=>R(`DELETE`,`/workspaces/${e}/members/${t}`),Ur=e=>z(`GET`,`/api/v1/api-keys/fetch/${e}`),Wr=e=>z(`POST`,`/api/v1/api-keys`,e),Gr=e=>z(`DELETE`,`/api/v1/api-keys/${e}`);function Kr({user:e}){let t=U(Rr,[]),[n,r]=F(e.current_workspace_id),[i,a]=F(),o=t=>void zr(t).then(()=>{e.current_workspace_id=t,r(t)},a);return W(G,{title:`Keys and members`,children:[i&&W(K,{problem:i}),W(J,{of:t,children:t=>{let r=t.find(({id:e})=>e===n)??t[0];return r?W(y,{children:[t.length>1?W(`div`,{class:`filters`,children:W(X,{label:`Workspace`,children:W(`select`,{value:r.id,onChange:e=>o(e.currentTarget.value),children:t.map(({id:e,name:t})=>W(`option`,{value:e,selected:e===r.id,children:t},e))})})}):W(`p`,{class:`quiet`,children:[`Workspace `,r.name]}),W(Jr,{workspace:r.id,self:e.id}),W(Xr,{user:e.id},r.id)]}):W(q,{title:`You belong to no workspace.`})}})]})}var qr=[`member`,`developer`,`admin`];function Jr({workspace:e,self:t}){let n=U(()=>Br(e),[e]),[r,i]=F(),[a,o]=F(),s=async t=>{t.preventDefault();let n=t.currentTarget,r=new FormData(n);try{let t=await Vr(e,String(r.get(`email`)),String(r.get(`role`)));n.reset(),i(void 0),o(t.message)}catch(e){i(e)}};return W(`section`,{"aria-labelledby":`members`,children:[W(`h2`,{id:`members`,children:`Members`}),r&&W(K,{problem:r}),W(J,{of:n,children:r=>W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-labelledby":`members`,children:W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Name`}),W(`th`,{scope:`col`,children:`Mail address`}),W(`th`,{scope:`col`,children:`Role`}),W(`th`,{scope:`col`,children:W(`span`,{class:`unseen`,children:`Action`})})]})}),W(`tbody`,{children:r.map(r=>W(`tr`,{children:[W(`th`,{scope:`row`,children:r.name??`–`}),W(`td`,{children:r.email??`–`}),W(`td`,{children:W(Y,{kind:`plain`,children:r.role})}),W(`td`,{class:`number`,children:r.user_id!==t&&W(`button`,{class:`danger`,type:`button`,onClick:()=>window.confirm(`Remove this member? Their keys lose their force.`)&&void Hr(e,r.user_id).then(n.reload,i),children:`Remove`})})]},r.user_id))})]})})}),W(`form`,{class:`line-form`,onSubmit:e=>void s(e),"aria-label":`Invite a member`,children:[W(X,{label:`Mail address to invite`,children:W(`input`,{name:`email`,type:`email`,required:!0})}),W(X,{label:`Role`,children:W(`select`,{name:`role`,children:qr.map(e=>W(`option`,{children:e},e))})}),W(`button`,{children:`Invite`}),W(`span`,{role:`status`,class:`quiet`,children:a})]})]})}var Yr=[`kupe`,`kros`,`vaani`];function Xr({user:e}){let t=U(()=>Ur(e),[e]),[n,r]=F(),[i,a]=F(),o=async e=>{e.preventDefault();let n=e.currentTarget,i=new FormData(n);try{let e=await Wr({name:String(i.get(`name`)),product:String(i.get(`product`))});n.reset(),r(void 0),a(e.api_key.key),t.reload()}catch(e){r(e)}};return W(`section`,{"aria-labelledby":`keys`,children:[W(`h2`,{id:`keys`,children:`Your keys`}),n&&W(K,{problem:n}),W(J,{of:t,children:e=>e.length===0?W(q,{title:`No keys. Programs need one.`}):W(`div`,{class:`scroll`,tabIndex:0,role:`region`,"aria-labelledby":`keys`,children:W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Name`}),W(`th`,{scope:`col`,children:`Begins with`}),W(`th`,{scope:`col`,children:`Surface`}),W(`th`,{scope:`col`,children:`Made`}),W(`th`,{scope:`col`,children:`Last used`}),W(`th`,{scope:`col`,children:W(`span`,{class:`unseen`,children:`Action`})})]})}),W(`tbody`,{children:e.map(e=>W(`tr`,{children:[W(`th`,{scope:`row`,children:e.name??`–`}),W(`td`,{children:W(`code`,{children:e.prefix})}),W(`td`,{children:[e.product,` `,e.mode===`test`&&W(Y,{kind:`plain`,children:`test`})]}),W(`td`,{children:B(e.created_at)}),W(`td`,{children:e.last_used_at?B(e.last_used_at):`never`}),W(`td`,{class:`number`,children:W(`button`,{class:`danger`,type:`button`,onClick:()=>window.confirm(`Revoke this key? Programs that use it are refused at once.`)&&void Gr(e.id).then(t.reload,r),children:`Revoke`})})]},e.id))})]})})}),i&&W(Dt,{label:`The new key`,value:i}),W(`form`,{class:`line-form`,onSubmit:e=>void o(e),"aria-label":`Make a key`,children:[W(X,{label:`Name of a new key`,children:W(`input`,{name:`name`,required:!0,maxLength:200})}),W(X,{label:`Surface`,children:W(`select`,{name:`product`,children:Yr.map(e=>W(`option`,{children:e},e))})}),W(`button`,{children:`Make a key`})]})]})}var Zr=e=>typeof e==`object`&&e&&!Array.isArray(e)?e:{},Qr=e=>Array.isArray(e)?e:[],$r=[`next`,`yes`,`no`,`changed`,`goto`,`otherwise`,`on_error`,`on_failure`,`fallback`];function ei(e){let t=Zr(e.nodes),n=[];for(let[e,r]of Object.entries(t)){let t=Zr(r);for(let r of $r){let i=t[r];typeof i==`string`&&!i.startsWith(`@`)&&n.push({from:e,to:i,label:r===`next`||r===`goto`?``:r.replace(`on_`,``)})}for(let r of Qr(t.cases)){let t=Zr(r);typeof t.goto==`string`&&n.push({from:e,to:t.goto,label:String(t.is??t.of??``)})}}let r=ti(String(e.start??``),Object.keys(t),n),i=new Map;return{nodes:[...r].map(([e,n])=>{let r=i.get(n)??0;i.set(n,r+1);let a=Zr(t[e]),o=Qr(a.say??a.ask)[0];return{name:e,type:String(a.type??`missing`),text:typeof o==`string`?o:typeof a.tool==`string`?a.tool:``,layer:n,place:r,known:e in t}}),edges:n,layers:Math.max(0,...i.keys())+1,widest:Math.max(1,...i.values())}}function ti(e,t,n){let r=new Map,i=new Map;for(let{from:e,to:t}of n)i.set(e,[...i.get(e)??[],t]);let a=e?[e]:[];for(let e=0;a.length>0;e+=1){let t=[];for(let n of a)r.has(n)||(r.set(n,e),t.push(...i.get(n)??[]));a=t}let o=Math.max(-1,...r.values())+1;for(let e of[...t,...n.map(({to:e})=>e)])r.has(e)||r.set(e,o);return r}var ni=168,ri=56,ii=44;function ai({definition:e,wrong:t,onChoose:n}){let r=Te(()=>ei(e),[e]),i=Te(()=>new Map(r.nodes.map(e=>[e.name,e])),[r]),a=e=>12+e.place*196,o=e=>12+e.layer*100,s=r.widest*196+40,c=r.layers*100;return W(`div`,{class:`graph`,tabIndex:0,role:`region`,"aria-label":`Graph of the workflow`,children:W(`svg`,{width:s,height:c,viewBox:`0 0 ${s} ${c}`,role:`group`,"aria-label":`${r.nodes.length} nodes`,children:[W(`defs`,{children:W(`marker`,{id:`arrow`,viewBox:`0 0 8 8`,refX:`7`,refY:`4`,markerWidth:`7`,markerHeight:`7`,orient:`auto`,children:W(`path`,{d:`M0 0 8 4 0 8z`,class:`arrow`})})}),r.edges.map(({from:e,to:t,label:n},r)=>{let s=i.get(e),c=i.get(t);if(!s||!c)return null;let l=c.layer>s.layer,u=a(s)+(l?ni/2:ni),d=o(s)+(l?ri:ri/2),f=a(c)+(l?ni/2:ni),p=o(c)+(l?0:ri/2),m=l?`M${u} ${d}C${u} ${d+ii/2} ${f} ${p-ii/2} ${f} ${p}`:`M${u} ${d}C${u+36} ${d} ${f+36} ${p} ${f} ${p}`;return W(`g`,{class:`edge ${/error|failure|fallback|^no$/.test(n)?`other`:``}`,children:W(`path`,{d:m,"marker-end":`url(#arrow)`,children:W(`title`,{children:`${e} to ${t}${n?` (${n})`:``}`})})},r)}),r.nodes.map(e=>W(`g`,{class:`node ${t.has(e.name)||!e.known?`wrong`:``}`,transform:`translate(${a(e)} ${o(e)})`,role:`button`,tabIndex:0,"aria-label":`${oi(e.name,16)} ${e.type} ${oi(e.text,25)}${t.has(e.name)?`, has a problem`:``}`,onClick:()=>n(e.name),onKeyDown:t=>{(t.key===`Enter`||t.key===` `)&&(t.preventDefault(),n(e.name))},children:[W(`rect`,{width:ni,height:ri,rx:`6`}),W(`text`,{x:`10`,y:`20`,class:`name`,children:oi(e.name,16)}),` `,W(`text`,{x:158,y:`20`,class:`type`,"text-anchor":`end`,children:e.type}),` `,W(`text`,{x:`10`,y:`41`,class:`said`,children:oi(e.text,25)})]},e.name))]})})}var oi=(e,t)=>e.length>t?`${e.slice(0,t-1)}…`:e;function si(e){return`${dn(e).trim()}\n`}function ci(e){let t=e.trimStart().startsWith(`{`);try{let n=t?JSON.parse(e):Zt(e);if(typeof n!=`object`||!n)throw Error(`a workflow is a table`);return{definition:n}}catch(e){if(e instanceof Z){let t=e.message.split(`
`)[0]??``;return{problem:{line:e.line,path:``,message:t}}}return{problem:{path:``,message:e.message}}}}function li(e,t){let n=t.replace(/^definition\.?/,``).split(`.`).filter(Boolean),r=e.split(`
`);for(let e=n.length;e>0;--e){let t=ui(r,n.slice(0,e));if(t===void 0)continue;let i=n[e]?.replace(/\[\d+\]$/,``);if(!i)return t+1;for(let e=t+1;e<r.length&&!/^\s*\[/.test(r[e]??``);e+=1)if(di(r[e],i))return e+1;return t+1}let i=n[0],a=i?r.findIndex(e=>di(e,i)):-1;return a>=0?a+1:void 0}function ui(e,t){let n=t[t.length-1]??``,r=/^(.*)\[(\d+)\]$/.exec(n),i=[...t.slice(0,-1),r?.[1]??n].join(`.`),a=Number(r?.[2]??0);for(let[t,n]of e.entries())if(n.trim().replaceAll(`"`,``)===(r?`[[${i}]]`:`[${i}]`)){if(a===0)return t;--a}}var di=(e,t)=>e?.trimStart().startsWith(`${t} `)||e?.trimStart().startsWith(`${t}=`),fi=350;function pi(){let e=U(ot,[]);return W(G,{title:`Workflows`,actions:W(`a`,{class:`button primary`,href:`#/agents/new`,children:`New agent with a workflow`}),children:W(J,{of:e,children:e=>e.length===0?W(q,{title:`No workflows yet.`,children:W(`p`,{children:W(`a`,{href:`#/agents/new`,children:`Make an agent of a template`})})}):W(`table`,{children:[W(`thead`,{children:W(`tr`,{children:[W(`th`,{scope:`col`,children:`Name`}),W(`th`,{scope:`col`,children:`Version`}),W(`th`,{scope:`col`,children:`Changed`})]})}),W(`tbody`,{children:e.map(e=>W(`tr`,{children:[W(`th`,{scope:`row`,children:W(`a`,{href:`#/workflows/${e.id}`,children:e.name})}),W(`td`,{children:e.version}),W(`td`,{children:B(e.updated_at)})]},e.id))})]})})})}function mi({id:e}){let t=U(()=>st(e),[e]),n=async()=>{window.confirm(`Delete this workflow? Agents that follow it cannot answer any more.`)&&(await dt(e),gt(`/workflows`))};return W(G,{title:t.data?.name??`Workflow`,actions:W(`button`,{class:`danger`,type:`button`,onClick:()=>void n(),children:`Delete`}),children:W(J,{of:t,children:e=>W(hi,{workflow:e,reload:t.reload},e.version)})})}function hi({workflow:e,reload:t}){let n=Te(()=>si(e.definition),[e]),[r,i]=F(n),[a,o]=F(e.definition),[s,c]=F([]),[l,u]=F(`checked`),[d,f]=F(),p=L(null),m=L(null);I(()=>{if(r===n){c([]),o(e.definition),u(`checked`);return}let t=!0;u(`waiting`);let i=setTimeout(()=>{let e=ci(r);`problem`in e?(c([e.problem]),u(`checked`)):(o(e.definition),lt(e.definition).then(e=>{t&&(c(e.problems.map(({path:e,message:t})=>({path:e.replace(/^definition\.?/,``),message:t,...gi(li(r,e))}))),u(`checked`))},e=>t&&f(e)))},fi);return()=>{t=!1,clearTimeout(i)}},[r]);let h=Te(()=>new Set(s.flatMap(({path:e})=>/^nodes\.([^.]+)/.exec(e)?.[1]??[])),[s]),g=new Set(s.map(({line:e})=>e)),_=r.split(`
`).length,v=e=>{let t=p.current;if(!t||!e)return;let n=r.split(`
`).slice(0,e-1).join(`
`).length+ +(e>1),i=r.indexOf(`
`,n);t.focus(),t.setSelectionRange(n,i<0?r.length:i);let a=t.scrollHeight/_;t.scrollTop=Math.max(0,(e-4)*a)},b=async()=>{let n=ci(r);if(!(`problem`in n)){f(void 0);try{await ut(e.id,e.version,n.definition),t()}catch(e){let t=e instanceof Fe&&e.status===412;f(t?Error(`Somebody else has changed this workflow meanwhile. Copy your text and load the page again.`):e)}}},x=r!==n;return W(y,{children:[W(`div`,{class:`editor-head`,children:[W(Y,{kind:`plain`,children:[`version `,e.version]}),W(`span`,{role:`status`,children:l===`waiting`?`Checking…`:s.length?W(Y,{kind:`bad`,children:s.length===1?`1 problem`:`${s.length} problems`}):W(Y,{kind:`good`,children:`valid`})}),W(`span`,{class:`actions`,children:[W(`button`,{type:`button`,disabled:!x,onClick:()=>i(n),children:`Undo changes`}),W(`button`,{class:`primary`,type:`button`,disabled:!x||l===`waiting`||s.length>0,onClick:()=>void b(),children:`Save`})]})]}),d&&W(K,{problem:d}),W(`ul`,{class:`problems`,"aria-label":`Problems`,children:s.map((e,t)=>W(`li`,{children:[W(`button`,{type:`button`,onClick:()=>v(e.line),disabled:!e.line,children:e.line?`Line ${e.line}`:`Text`}),W(`span`,{children:[W(`code`,{children:e.path}),` `,e.message]})]},t))}),W(`div`,{class:`columns`,children:[W(`div`,{class:`editor`,children:[W(`pre`,{class:`gutter`,"aria-hidden":`true`,ref:m,children:Array.from({length:_},(e,t)=>W(`span`,{class:g.has(t+1)?`wrong`:``,children:[t+1,`
`]},t))}),W(`textarea`,{class:`code`,ref:p,"aria-label":`Text of the workflow`,"aria-invalid":s.length>0,spellcheck:!1,wrap:`off`,value:r,onInput:e=>i(e.currentTarget.value),onScroll:e=>{m.current&&(m.current.scrollTop=e.currentTarget.scrollTop)}})]}),W(ai,{definition:a,wrong:h,onChoose:e=>v(li(r,`nodes.${e}`))})]})]})}var gi=e=>e===void 0?{}:{line:e},_i=[[`live`,`Live calls`],[`calls`,`Calls`],[`agents`,`Agents`],[`workflows`,`Workflows`],[`batches`,`Batches`],[`numbers`,`Numbers`],[`people`,`Keys and members`],[`health`,`System health`]];function vi(){let[e,t]=F(void 0),[n,r]=F(),i=ht(),a=()=>{r(void 0),Ve().then(t,r)};return I(()=>{Be(()=>t(null)),a()},[]),n?W(`main`,{class:`alone`,children:W(K,{problem:n,retry:a})}):e===void 0?W(`main`,{class:`alone`,"aria-busy":`true`}):e===null?W(jr,{onSignedIn:t}):W(bi,{user:e,current:i.path[0]??`calls`,children:W(yi,{address:i,user:e})})}function yi({address:e,user:t}){let[n=`calls`,r]=e.path;switch(n){case`live`:return W(kr,{});case`calls`:return r?W(sr,{id:r},r):W(_r,{});case`agents`:return r===`new`?W(mn,{}):r?W(Ot,{id:r},r):W(pn,{});case`workflows`:return r?W(mi,{id:r},r):W(pi,{});case`batches`:return r===`new`?W(Pn,{}):r?W(Fn,{id:r},r):W(Mn,{});case`numbers`:return W(Mr,{});case`people`:return W(Kr,{user:t});case`health`:return W(Tr,{});default:return W(G,{title:`Not found`,children:W(q,{title:`There is no such page.`,children:W(`a`,{href:`#/calls`,children:`To the calls`})})})}}function bi(e){let t=L(null),[n,r]=F(!1);return I(()=>r(!1),[e.current]),W(`div`,{class:`frame`,children:[W(`a`,{class:`skip`,href:`#content`,onClick:e=>{e.preventDefault(),t.current?.focus()},children:`Skip to the content`}),W(`header`,{class:`bar`,children:[W(`a`,{class:`brand`,href:`#/calls`,children:[W(`img`,{src:`./icon.svg`,alt:``,width:`24`,height:`24`}),`Samvad`]}),W(`button`,{class:`menu`,type:`button`,"aria-expanded":n,"aria-controls":`sections`,onClick:()=>r(!n),children:`Menu`})]}),W(`nav`,{id:`sections`,class:n?`open`:``,"aria-label":`Sections`,children:[W(`ul`,{children:_i.map(([t,n])=>W(`li`,{children:W(`a`,{href:`#/${t}`,"aria-current":e.current===t?`page`:void 0,children:n})},t))}),W(`div`,{class:`who`,children:[W(`span`,{title:e.user.email??``,children:e.user.name??e.user.email}),W(`button`,{type:`button`,onClick:()=>void Ue(),children:`Sign out`})]})]}),W(`main`,{id:`content`,ref:t,tabIndex:-1,children:e.children})]})}var xi=document.getElementById(`app`);xi&&j(W(vi,{}),xi);