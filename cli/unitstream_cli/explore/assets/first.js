// Comes before all other scripts. Dash's lists keep the words in them as the names of an object's properties: with this old
// property of all objects, a dimension that is called so would end the page.
delete Object.prototype.__proto__;
